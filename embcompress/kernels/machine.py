"""The state machines of dependent quantization."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcompress.errors import BadInput

_FEEDBACK = {4: (0o5, 0o2), 8: (0o13, 0o4), 32: (0o45, 0o10)}
STATES = (1, *_FEEDBACK)


def machine(states: int) -> NDArray[np.int64]:
    """The next state by state and parity of the magnitude, int64 [S, 2].

    Ungerboeck's systematic feedback codes with parity-check polynomials h0 and h1: with z0 the
    lowest bit of the state and z1 = z0 xor parity, the state is shifted right by one and bit
    j - 1 is flipped by h0[j] z0 xor h1[j] z1.

    Args:
        states: 1 (a plain quantizer), 4, 8 or 32.

    Raises:
        BadInput: Another number.

    Source: Ungerboeck 1982, Channel coding with multilevel/phase signals, table I.
    """
    if states == 1:
        return np.zeros((1, 2), np.int64)
    if states not in _FEEDBACK:
        raise BadInput(f"no state machine has {states} states, only {STATES}")
    h0, h1 = _FEEDBACK[states]
    moves = np.zeros((states, 2), np.int64)
    for s in range(states):
        for parity in (0, 1):
            z0, z1 = s & 1, parity ^ (s & 1)
            moves[s, parity] = (s >> 1) ^ ((h0 >> 1) * z0) ^ ((h1 >> 1) * z1)
    return moves


def origins(moves: NDArray[np.int64]) -> NDArray[np.int64]:
    """The two states, each with its parity, from which every state is reached, int64 [S, 4]."""
    found: list[list[int]] = [[] for _ in moves]
    for s, row in enumerate(moves.tolist()):
        for parity, reached in enumerate(row):
            found[reached] += [s, parity]
    return np.array(found, np.int64)


def butterflies(moves: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pairs of states a, b that lead to the same two states u, v, int64 [max(S / 2, 1), 4].

    An even magnitude leads from a to u and from b to v, an odd one from b to u and from a to v. The
    first half of them uses quantizer 0, the other half 1. With one state v is none, and 1.
    """
    if len(moves) == 1:
        return np.array([[0, 0, 0, 1]], np.int64)
    found = [
        (one, other, u, int(moves[one, 1]))
        for u, (one, parity, other, _) in enumerate(origins(moves).tolist())
        if parity == 0
    ]
    return np.array(sorted(found, key=lambda pair: pair[0] & 1), np.int64)
