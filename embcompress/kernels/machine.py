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
