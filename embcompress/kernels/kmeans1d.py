"""One-dimensional k-means on sorted points: the exact optimum, Lloyd's rounds, nearest codes.

The optimum cuts the sorted points into k runs. The cost of a run obeys the quadrangle inequality,
so a price per codeword makes the number of runs free and the best cut O(n log n) to find, and the
best cut into k runs interlaces with the best cut into any other number: its m-th border lies
between the m-th and the (m + |k' - k|)-th border of a cut into k' runs (swap the two cuts wherever
they leave that order; the inequality says that it costs nothing). A few prices therefore find a
cut into almost k runs, and the dynamic program over k runs looks only between those borders:
O(n log n) time and O(n) memory whatever k is. The program over all borders took 4 times as long
for 384 points and 16 codewords, and 27 times for 4,096 and 256.

Source: Gronlund, Larsen, Mathiasen, Nielsen, Schneider, Song: Fast exact k-means, k-medians and
Bregman divergence clustering in 1D (2017), sections 2 and 3; Aggarwal, Schieber, Tokuyama:
Finding a minimum weight k-link path in graphs with Monge property (1994).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import inlined, kernel

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

#: Numbers that a codeword may be: float64's, float32's, float16's. Rounding works in float64:
#: times 2^(53 - digits) + 1; the smallest normal number; 1.5·2^52 steps below it; the largest.
REAL: Final = np.array([2.0, 0.0, 0.0, np.inf])
SINGLE: Final = np.array([2.0**29 + 1, 2.0**-126, 1.5 * 2.0**-97, 2.0**128 - 2.0**104])
HALF: Final = np.array([2.0**42 + 1, 2.0**-14, 1.5 * 2.0**28, 65504.0])


@inlined
def _merit(partial: Float64, sums: Float64, mass: Float64, j: int, i: int) -> float:
    """What ending at i costs with the last run j..i, up to a term that does not depend on j."""
    gap = sums[i] - sums[j]
    return float(partial[j] - gap * gap / (mass[i] - mass[j]))


@inlined
def _cut_at_price(
    price: float,
    mass: Float64,
    sums: Float64,
    partial: Float64,
    heads: Int64,
    since: Int64,
    before: Int64,
) -> None:
    """Find the best cut into any number of runs, each costing `price` more.

    `before[i]` becomes the start of the run that ends at i. `heads[first..last]` are the starts
    that win for some later end, `heads[c]` from end `since[c]` on.
    """
    n = mass.shape[0] - 1
    heads[0] = 0
    since[0] = 1
    first = 0
    last = 0
    for i in range(1, n + 1):
        while first < last and since[first + 1] <= i:
            first += 1
        before[i] = heads[first]
        partial[i] = _merit(partial, sums, mass, heads[first], i) + price
        wins = i + 1
        while last >= first:
            rival = heads[last]
            begin = since[last]
            if begin <= i:
                begin = i + 1
            # Start i loses to the rival up to some end and wins after it: gallop, then halve.
            loses = begin - 1
            wins = n + 1
            end = begin
            reach = 1
            while wins - loses > 1:
                if _merit(partial, sums, mass, i, end) < _merit(partial, sums, mass, rival, end):
                    wins = end
                    reach = n
                else:
                    loses = end
                    reach *= 2
                end = (loses + wins) // 2
                if end > loses + reach:
                    end = loses + reach
            if wins > begin:
                break
            last -= 1
        if wins <= n:
            last += 1
            heads[last] = i
            since[last] = wins


@inlined
def _cut_between(
    k: int,
    low: Int64,
    high: Int64,
    offset: Int64,
    mass: Float64,
    sums: Float64,
    squares: Float64,
    partial: Float64,
    cost: Float64,
    back: Int64,
) -> None:
    """Find the best cuts into 1..k runs whose m-th border lies in low[m]..high[m].

    Within a run number the best start grows with the end, so the ends are solved coarse to fine,
    each between the starts of its solved neighbours.
    """
    cost[0] = 0.0
    for m in range(1, k + 1):
        for j in range(low[m - 1], high[m - 1] + 1):
            partial[j] = cost[j] - squares[j]
        width = high[m] - low[m] + 1
        at = offset[m]
        step = 1
        while step * 2 <= width:
            step *= 2
        while step >= 1:
            for place in range(step - 1, width, 2 * step):
                i = low[m] + place
                start = low[m - 1]
                stop = high[m - 1]
                if place >= step:
                    start = back[at + place - step]
                if place + step < width:
                    stop = back[at + place + step]
                if stop >= i:
                    stop = i - 1
                least = np.inf
                argument = start
                for j in range(start, stop + 1):
                    merit = _merit(partial, sums, mass, j, i)
                    if merit < least:
                        least = merit
                        argument = j
                back[at + place] = argument
                cost[i] = squares[i] + least
            step //= 2


@kernel(
    "void(float64[:,::1], float64[::1], float64[:,::1], float64[:,::1], int64[:,::1], int64[::1])"
)
def cut_sorted(
    points: Float64, weights: Float64, books: Float64, real: Float64, whole: Int64, back: Int64
) -> None:
    """Fit the best codebook to every row of points: the means of the best cut into k runs.

    Minimises sum over i of weights[i]·(points[r, i] − nearest codeword)². Large scratch is the
    caller's, which is cheap: of `back`, 3·n entries are touched save for rare rows.

    Args:
        points: float64 [b, n], C order, finite, each row ascending with more than k distinct
            values.
        weights: float64 [n], positive, of all rows alike.
        books: float64 [b, k], C order, allocated by the caller, overwritten; ascending.
        real: float64 [5, n + 1], C order, scratch.
        whole: int64 [7, n + 1], C order, scratch.
        back: int64 [k·(n + 1)], scratch.
    """
    b, n = points.shape
    k = books.shape[1]
    mass, sums, squares, partial, cost = real[0], real[1], real[2], real[3], real[4]
    heads, since, before, nearby = whole[0], whole[1], whole[2], whole[3]
    low, high, offset = whole[4], whole[5], whole[6]
    mass[0] = 0.0
    for i in range(n):
        mass[i + 1] = mass[i] + weights[i]
    middle = 0
    while 2.0 * mass[middle + 1] < mass[n]:
        middle += 1
    for r in range(b):
        # Running sums are zero at the median and grow outwards, so that neither a common offset
        # nor a few huge points swallow the digits of the others.
        centre = points[r, middle]
        sums[middle] = 0.0
        squares[middle] = 0.0
        for i in range(middle, n):
            gap = points[r, i] - centre
            sums[i + 1] = sums[i] + weights[i] * gap
            squares[i + 1] = squares[i] + weights[i] * gap * gap
        for i in range(middle - 1, -1, -1):
            gap = points[r, i] - centre
            sums[i] = sums[i + 1] - weights[i] * gap
            squares[i] = squares[i + 1] - weights[i] * gap * gap
        near = 1
        nearby[0] = 0
        nearby[1] = n
        gap = sums[n] - sums[0]
        # What one more codeword saves on a Gaussian; the price goes with runs to the power -3.
        price = 5.4 * (squares[n] - squares[0] - gap * gap / mass[n]) / k / k / k
        cheap = 0.0
        dear = np.inf
        tries = 24 if k > 4 else 0  # for few runs, the full program costs less than one price
        while tries > 0:
            partial[0] = -squares[0]
            _cut_at_price(price, mass, sums, partial, heads, since, before)
            runs = 0
            i = n
            while i > 0:
                i = before[i]
                runs += 1
            if abs(runs - k) < abs(near - k):
                near = runs
                i = n
                while i > 0:
                    nearby[runs] = i
                    i = before[i]
                    runs -= 1
                runs = near
            # A price more costs about three times what one more run of slack does.
            if abs(near - k) <= 2:
                break
            if runs > k:
                cheap = price
            else:
                dear = price
            ratio = runs / k
            price *= ratio * ratio * ratio
            if price <= cheap or price >= dear:
                price = np.sqrt(cheap * dear)
            tries -= 1
        extra = near - k
        low[0] = high[0] = total = 0
        for m in range(1, k + 1):
            first = m + min(extra, 0)
            last = m + max(extra, 0)
            low[m] = m
            if first > 0 and nearby[first] > m:
                low[m] = nearby[first]
            high[m] = n - k + m
            if last < near and nearby[last] < high[m]:
                high[m] = nearby[last]
            offset[m] = total
            total += high[m] - low[m] + 1
        low[k] = n
        _cut_between(k, low, high, offset, mass, sums, squares, partial, cost, back)
        i = n
        for m in range(k, 0, -1):
            j = back[offset[m] + i - low[m]]
            mean = centre + (sums[i] - sums[j]) / (mass[i] - mass[j])
            # Its own run holds it, whatever digits were lost, so that books stay ascending.
            books[r, m - 1] = min(max(mean, points[r, j]), points[r, i - 1])
            i = j


@kernel("void(float64[:,::1], float64[::1], float64[::1], int64, float64[:,::1], float64[::1])")
def improve_sorted(
    points: Float64, weights: Float64, grid: Float64, rounds: int, books: Float64, costs: Float64
) -> None:
    """Round every codebook to the grid, then run Lloyd's rounds there while its cost falls.

    A codeword that no point is nearest to stays where it is. Costs are summed in float64 over
    differences.

    Args:
        points: float64 [b, n], C order, finite, each row ascending.
        weights: float64 [n], positive, of all rows alike.
        grid: float64 [4], REAL, SINGLE or HALF; past its largest number, codewords stay there.
        rounds: at most so many, at least 1; the first only measures.
        books: float64 [b, k], C order, each ascending; overwritten.
        costs: float64 [b], allocated by the caller, overwritten with the sums of
            weights·(squared errors).
    """
    b, n = points.shape
    k = books.shape[1]
    book = np.empty(k)
    mean = np.empty(k)
    for r in range(b):
        x = points[r]
        best = np.inf
        for c in range(k):
            book[c] = books[r, c]
        for _ in range(rounds):
            for c in range(k):
                value = book[c]
                if value > grid[3]:
                    value = grid[3]
                elif value < -grid[3]:
                    value = -grid[3]
                if abs(value) < grid[1]:
                    book[c] = (value + grid[2]) - grid[2]
                else:
                    carry = value * grid[0]
                    book[c] = carry - (carry - value)
            cost = 0.0
            i = 0
            for c in range(k):
                codeword = book[c]
                start = i
                edge = np.inf
                if c + 1 < k:
                    edge = 0.5 * (codeword + book[c + 1])
                total = 0.0
                mass = 0.0
                while i < n and x[i] <= edge:
                    gap = x[i] - codeword
                    part = weights[i] * gap
                    cost += part * gap
                    total += part
                    mass += weights[i]
                    i += 1
                mean[c] = codeword
                if i > start:
                    mean[c] = min(max(codeword + total / mass, x[start]), x[i - 1])
            if not cost < best:
                break
            best = cost
            for c in range(k):
                books[r, c] = book[c]
                book[c] = mean[c]
        costs[r] = best


@kernel("void(float32[:,::1], float64[:,::1], int64[::1], uint8[:,::1])")
def assign_codes(rows: Float32, edges: Float64, which: Int64, codes: NDArray[np.uint8]) -> None:
    """Find the code of every value: how many edges of its row's book lie below it.

    Args:
        rows: float32 [b, d], C order, finite.
        edges: float64 [g, size], C order, each ascending and ending in infinity; size is a power
            of two, at most 256.
        which: int64 [b], the book of each row, below g.
        codes: uint8 [b, d], C order, allocated by the caller, overwritten.
    """
    b, d = rows.shape
    half = edges.shape[1] // 2
    for r in range(b):
        g = which[r]
        for j in range(d):
            value = np.float64(rows[r, j])
            code = 0
            step = half
            while step > 0:
                if value > edges[g, code + step - 1]:
                    code += step
                step //= 2
            codes[r, j] = code


@kernel(
    "void(float32[:,::1], float32[:,::1], float64[:,::1], int64[:,::1], int64[::1], float64[::1])"
)
def choose_books(
    ordered: Float32,
    books: Float32,
    edges: Float64,
    candidates: Int64,
    which: Int64,
    errors: Float64,
) -> None:
    """Find the book of least squared error for every row; ties go to the lower book.

    Errors are summed in float64 from the smallest value up.

    Args:
        ordered: float32 [b, d], C order, finite, each row ascending.
        books: float32 [g, k], C order, each ascending.
        edges: float64 [g, size], C order, as in `assign_codes`, size at least k.
        candidates: int64 [b, c], C order, below g, the books to try.
        which: int64 [b], allocated by the caller, overwritten.
        errors: float64 [b], sums of squared errors, allocated by the caller, overwritten.
    """
    b, d = ordered.shape
    for r in range(b):
        best = np.inf
        winner = candidates[r, 0]
        for candidate in range(candidates.shape[1]):
            c = candidates[r, candidate]
            error = 0.0
            code = 0
            for i in range(d):
                value = np.float64(ordered[r, i])
                while value > edges[c, code]:
                    code += 1
                gap = value - books[c, code]
                error += gap * gap
                if error > best:
                    break
            if error < best or (error == best and c < winner):
                best = error
                winner = c
        which[r] = winner
        errors[r] = best
