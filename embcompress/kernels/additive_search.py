"""Find additive codes of rows: beam search over the books, and local search from there.

Both work on tables and never touch a row again. With B = S * L columns, L the codewords of a book
filled up to a multiple of 16:

    singles [b, B]   |c|² - 2⟨x, c⟩ for every row x and codeword c; infinite where filled up
    pairs [B, B]     2⟨c, c'⟩

so that the squared distance of x to a sum of codewords, less |x|², is the sum of their singles and
of all pairs. Every sum runs in one order in float32: a row's codes do not depend on the rows beside
it. Ties go to what was found first.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import kernel
from embcompress.kernels.lanes import LANES, any_lane, load, splat, store
from embcompress.kernels.records import FLOAT32_2D

_CODES_OUT: Final = "Array(uint16, 2, 'C')"


@kernel(f"void({FLOAT32_2D}, {FLOAT32_2D}, int64, int64, {_CODES_OUT})")
def beam_search(
    singles: NDArray[np.float32],
    pairs: NDArray[np.float32],
    lanes: int,
    beam: int,
    codes: NDArray[np.uint16],
) -> None:
    """Choose codewords book by book, keeping the best few beginnings.

    Args:
        singles: float32 [b, S * L].
        pairs: float32 [S * L, S * L].
        lanes: L, a multiple of 16.
        beam: How many beginnings to keep.
        codes: uint16 [b, S], written.
    """
    count, books = codes.shape
    width: Any = np.int64(pairs.shape[0])
    paths = np.zeros((beam, books), np.int64)
    longer = np.zeros((beam, books), np.int64)
    costs = np.zeros(beam, np.float32)
    least = np.zeros(beam, np.float32)
    parent = np.zeros(beam, np.int64)
    word = np.zeros(beam, np.int64)
    spare = np.zeros(LANES, np.float32)
    for i in range(count):
        live = 1
        costs[0] = np.float32(0)
        for s in range(books):
            found = 0
            limit: Any = np.float32(np.inf)
            for p in range(live):
                base = splat(costs[p])
                for c in range(s * lanes, (s + 1) * lanes, LANES):
                    total = base + load(singles, i * width + c)
                    for t in range(s):
                        total = total + load(pairs, paths[p, t] + c)
                    if any_lane(total < splat(limit)):
                        store(spare, 0, total)
                        for lane in range(LANES):
                            cost = spare[lane]
                            if cost < limit:
                                at = min(found, beam - 1)
                                while at > 0 and least[at - 1] > cost:
                                    least[at] = least[at - 1]
                                    parent[at] = parent[at - 1]
                                    word[at] = word[at - 1]
                                    at -= 1
                                least[at] = cost
                                parent[at] = p
                                word[at] = c + lane
                                found = min(found + 1, beam)
                                if found == beam:
                                    limit = least[beam - 1]
            if found == 0:  # nothing is finite
                found = 1
                least[0] = costs[0]
                parent[0] = 0
                word[0] = s * lanes
            for q in range(found):
                for t in range(s):
                    longer[q, t] = paths[parent[q], t]
                longer[q, s] = word[q] * width
                costs[q] = least[q]
            paths, longer = longer, paths
            live = found
        for s in range(books):
            codes[i, s] = np.uint16(paths[0, s] // width - s * lanes)


@kernel(f"void({FLOAT32_2D}, {FLOAT32_2D}, int64, int64, int64, int64, {_CODES_OUT})")
def local_search(
    singles: NDArray[np.float32],
    pairs: NDArray[np.float32],
    lanes: int,
    k: int,
    tries: int,
    kicks: int,
    codes: NDArray[np.uint16],
) -> None:
    """Better codes: replace a few by chance, choose the best for book after book, keep what helps.

    Every row meets the same numbers of a congruential generator. The first try replaces nothing.

    Args:
        singles: float32 [b, S * L].
        pairs: float32 [S * L, S * L].
        lanes: L, a multiple of 16.
        k: Codewords of a book K, a power of two.
        tries: How often to begin anew.
        kicks: Codes to replace by chance.
        codes: uint16 [b, S], improved.

    Source: Martinez et al. 2018, LSQ++, section 3 (iterated local search).
    """
    count, books = codes.shape
    width: Any = np.int64(pairs.shape[0])
    best = np.zeros(books, np.int64)
    now = np.zeros(books, np.int64)
    spare = np.zeros(LANES, np.float32)
    for i in range(count):
        state = np.uint64(1)
        cost = np.float32(np.inf)
        for t in range(books):
            best[t] = t * lanes + codes[i, t]
        for trial in range(tries):
            for t in range(books):
                now[t] = best[t]
            for _ in range(kicks if trial else 0):
                state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
                chance = state >> np.uint64(33)
                kicked = np.int64(chance % np.uint64(books))
                now[kicked] = kicked * lanes + np.int64((chance >> np.uint64(8)) & np.uint64(k - 1))
            settled = 0
            s: Any = np.int64(0)
            for _ in range(4 * books):
                limit: Any = np.float32(np.inf)
                word = now[s]
                for c in range(s * lanes, (s + 1) * lanes, LANES):
                    total = load(singles, i * width + c)
                    for t in range(books):
                        if t != s:
                            total = total + load(pairs, now[t] * width + c)
                    if any_lane(total < splat(limit)):
                        store(spare, 0, total)
                        for lane in range(LANES):
                            if spare[lane] < limit:
                                limit = spare[lane]
                                word = np.int64(c + lane)
                settled = settled + 1 if word == now[s] else 1
                now[s] = word
                if settled >= books:
                    break
                s = s + 1 if s + 1 < books else np.int64(0)
            reached = np.float32(0)
            for r in range(books):
                reached += singles[i, now[r]]
                for t in range(r):
                    reached += pairs[now[t], now[r]]
            if reached < cost:
                cost = reached
                for t in range(books):
                    best[t] = now[t]
        for t in range(books):
            codes[i, t] = np.uint16(best[t] - t * lanes)
