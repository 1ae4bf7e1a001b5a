"""Decimal numbers in lines of text, rounded as Python does: to float64, then to float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.kernels.jit import inlined, kernel

SPACE, TAB, RETURN = 0x20, 0x09, 0x0D
_PLUS, _MINUS, _DOT, _ZERO, _NINE = 0x2B, 0x2D, 0x2E, 0x30, 0x39
_BIG_E, _SMALL_E = 0x45, 0x65
_REACH = 280  # exponents whose powers of ten, times any 19 digits, are ordinary float64 numbers
_POWERS = np.array([float(f"1e{e}") for e in range(-_REACH, _REACH + 1)])
_EXACT = 22  # the largest power of ten that float64 holds exactly
_WHOLE = 2**53  # whole numbers below it are exact in float64
_SLACK = 2.0**-51  # relative; three roundings of 2^-53 each stay below it
_LOW, _HIGH = 1.0 - _SLACK, 1.0 + _SLACK
_MOST_DIGITS = 19  # what 64 bits hold
_DOUBT = np.float32(np.nan)


@inlined
def _number(text: NDArray[np.uint8], begin: int, end: int) -> Any:
    """float32 of text[begin:end], or NaN where it is not sure or is no number."""
    at = begin
    negative = text[at] == _MINUS
    if negative or text[at] == _PLUS:
        at += 1
    whole = np.uint64(0)
    digits = 0
    exponent = 0
    seen = False
    dotted = False
    while at < end:
        c = text[at]
        if _ZERO <= c <= _NINE:
            seen = True
            if digits < _MOST_DIGITS:
                whole = whole * np.uint64(10) + np.uint64(c - _ZERO)
                if whole:
                    digits += 1
                exponent -= dotted
            else:
                return _DOUBT
        elif c == _DOT and not dotted:
            dotted = True
        else:
            break
        at += 1
    if not seen:
        return _DOUBT
    if at < end:
        if text[at] != _SMALL_E and text[at] != _BIG_E:
            return _DOUBT
        at += 1
        down = at < end and text[at] == _MINUS
        if at < end and (down or text[at] == _PLUS):
            at += 1
        if at == end or end - at > 4:
            return _DOUBT
        power = 0
        while at < end:
            c = text[at]
            if c < _ZERO or c > _NINE:
                return _DOUBT
            power = power * 10 + (c - _ZERO)
            at += 1
        exponent += -power if down else power
    if whole == 0:
        return np.float32(-0.0) if negative else np.float32(0.0)
    if exponent < -_REACH or exponent > _REACH:
        return _DOUBT
    if whole < _WHOLE and -_EXACT <= exponent <= _EXACT:
        if exponent < 0:
            exact = np.float64(whole) / _POWERS[_REACH - exponent]
        else:
            exact = np.float64(whole) * _POWERS[_REACH + exponent]
        found = np.float32(exact)
    else:
        near = np.float64(whole) * _POWERS[_REACH + exponent]
        found = np.float32(near * _LOW)
        if found != np.float32(near * _HIGH):
            return _DOUBT
    if np.isinf(found):
        return _DOUBT
    return -found if negative else found


@kernel(
    "int64(Array(uint8, 1, 'C', readonly=True), int64[::1], int64[::1], int64, float32[:,::1],"
    "int64[::1], int64[:,::1], int64[::1])"
)
def parse_lines(
    text: NDArray[np.uint8],
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    first: int,
    values: NDArray[np.float32],
    tokens: NDArray[np.int64],
    doubts: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> int:
    """Take the last d fields of lines as numbers, and what stands before them as a token.

    Fields stand apart by spaces or tabs. A line that is too short ends the work; so does a full
    list of doubts.

    Args:
        text: uint8 [bytes].
        starts: int64 [b], where the lines begin.
        stops: int64 [b], where they end.
        first: The line to begin with.
        values: float32 [b, d], filled; NaN where in doubt.
        tokens: int64 [b], filled: where each token ends; -1 for a line of fewer than d fields.
        doubts: int64 [most, 4], filled: line, column, begin and end of fields that ``_number``
            does not decide: other spellings, more than 19 digits, values so near the middle of
            two float32 numbers that the powers of ten are not exact enough, infinities.
        counts: int64 [1], filled: how many doubts.

    Returns:
        The line after the last that is done.
    """
    d = values.shape[1]
    most = len(doubts)
    found = 0
    for line in range(first, len(starts)):
        if found + d > most:
            counts[0] = found
            return line
        begin, end = starts[line], stops[line]
        tokens[line] = -1
        for back in range(d):
            while end > begin and (text[end - 1] == SPACE or text[end - 1] == TAB):
                end -= 1
            stop = end
            while end > begin and text[end - 1] != SPACE and text[end - 1] != TAB:
                end -= 1
            if end == begin:
                counts[0] = found
                return line + 1
            column = d - 1 - back
            value = _number(text, end, stop)
            values[line, column] = value
            if np.isnan(value):
                doubts[found, 0] = line
                doubts[found, 1] = column
                doubts[found, 2] = end
                doubts[found, 3] = stop
                found += 1
        tokens[line] = end - 1
    counts[0] = found
    return len(starts)
