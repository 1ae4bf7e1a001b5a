"""Thread pools for kernels that release the interpreter lock."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")
_POOL = "embcompress"


def available() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def pool(threads: int) -> ThreadPoolExecutor:
    """The shared pool of a given size; its threads live as long as the process."""
    return ThreadPoolExecutor(threads, thread_name_prefix=_POOL)


# the threads of a pool do not follow a process into its children; it would wait for them for ever
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pool.cache_clear)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS to the calling thread, so that its results do not depend on the thread count."""
    with _blas().limit(limits=1, user_api="blas"):
        yield


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def ordered(function: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """Apply a function over a pool; results come in the order of the items.

    At most ``threads + 2`` results wait at a time, so memory stays bounded. When the consumer
    stops or an item fails, what has not started is cancelled and what runs is waited for.
    """
    if threads == 1:
        yield from map(function, items)
        return
    waiting: deque[Future[R]] = deque()
    workers = pool(threads)
    try:
        for item in items:
            waiting.append(workers.submit(function, item))
            if len(waiting) >= threads + 2:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        for future in waiting:
            if not future.cancelled():
                future.exception()


def halves(function: Callable[[int, int], None], count: int, threads: int, least: int) -> None:
    """Call ``function(start, stop)`` over equal ranges of ``count`` items, one range a thread.

    Ranges are never shorter than ``least`` items: small work stays on the calling thread, and so
    does work that a thread of the pool asks for.
    """
    parts = max(1, min(threads, count // least))
    if parts == 1 or threading.current_thread().name.startswith(_POOL):
        function(0, count)
        return
    edges = [count * i // parts for i in range(parts + 1)]
    # the caller only waits: with a share of its own it kept its core while a woken thread was
    # queued behind it, and two cores did the work of one (measured on 0.6 ms look-ups)
    futures = [pool(threads).submit(function, a, b) for a, b in pairwise(edges)]
    for future in futures:
        future.result()
