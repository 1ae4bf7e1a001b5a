"""Memory: what a run may use, and how it is shared out."""

from __future__ import annotations

from collections.abc import Iterable

from embcompress.budget import parse_size
from embcompress.errors import IOFailure
from embcompress.tables.base import tile_rows

_DEFAULT_MEMORY = 800 * 10**6
_BASE_MEMORY = 260 * 10**6  # the interpreter, numba, BLAS and their code
_TILES_A_THREAD = 6  # a tile of rows, of decoded rows, and what kernels and sorts need


def usable_memory(text: str | None) -> int:
    """Bytes to stay below.

    Args:
        text: Such as ``600MB``; None for the default.

    Raises:
        UsageError: The text is no size.
    """
    return parse_size(text) if text else _DEFAULT_MEMORY


def fit_memory(memory: int, threads: int, shapes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Threads that the memory allows, each holding a few tiles, and the bytes left for samples.

    Args:
        memory: Bytes to stay below.
        threads: Cores to use.
        shapes: Of the tables, rows and columns.

    Raises:
        IOFailure: Not even one thread fits.
    """
    widest = max((min(n, tile_rows(d)) * d for n, d in shapes), default=0)
    each = _TILES_A_THREAD * 4 * widest
    least = _BASE_MEMORY + each
    if memory < least:
        raise IOFailure(f"--memory {memory:,} bytes is too little: these tables need {least:,}")
    threads = max(1, min(threads, (memory - _BASE_MEMORY) // max(each, 1)))
    return threads, memory - _BASE_MEMORY - threads * each
