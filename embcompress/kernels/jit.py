"""The one place that sets compiler flags: every kernel is compiled here, on its first call."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from functools import cache, update_wrapper
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")

_FLAGS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}


@cache
def _fingerprint() -> str:
    """Eight letters that change with any file of kernels."""
    digest = hashlib.blake2b(digest_size=4)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class Kernel(Generic[P, R]):
    """A function that numba compiles for one signature when it is first called.

    Compiled code is cached beside the source, or in the user's cache folder when the install is
    read-only; with neither, every process compiles anew. The interpreter lock is released inside.
    """

    def __init__(self, function: Callable[P, R], signature: str) -> None:
        self._function = function
        self._signature = signature
        self._compiled: Callable[P, R] | None = None
        self._lock = threading.Lock()
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the compiled function."""
        compiled = self._compiled or self.compile()
        return compiled(*args, **kwargs)

    def compile(self) -> Callable[P, R]:
        """Compile, or load from the cache, without calling."""
        with self._lock:
            if self._compiled is None:
                self._compiled = self._build()
            return self._compiled

    def _build(self) -> Callable[P, R]:
        # numba looks at a kernel's own file only; helpers are inlined from others, so its cache
        # files are named after all of them
        self._function.__qualname__ += f"-{_fingerprint()}"
        try:
            built = numba.njit(cache=True, **_FLAGS)(self._function)
            if not _loaded(built, self._signature):
                built.compile(self._signature)
        except (RuntimeError, OSError):  # no folder for the cache can be written
            built = numba.njit(cache=False, **_FLAGS)(self._function)
            built.compile(self._signature)
        built.disable_compile()
        return cast(Callable[P, R], built)


def _loaded(built: Any, signature: str) -> bool:
    """Take the code of a function from numba's cache, if it is there.

    numba itself first imports all that it might compile, scipy among it: 0.35 s of every command
    that runs a kernel. Where another version of numba does not let us, it does as it always does.
    """
    try:
        from numba.core.compiler_lock import global_compiler_lock
        from numba.core.runtime import rtsys

        with global_compiler_lock:
            rtsys.initialize(built.targetctx)
            found = built._cache._load_overload(signature, built.targetctx)
            if found is None:
                return False
            built.add_overload(found)
            return True
    except Exception:
        return False


def kernel(signature: str) -> Callable[[Callable[P, R]], Kernel[P, R]]:
    """Make a kernel of a function on plain arrays.

    Args:
        signature: numba's explicit signature, such as ``"void(float32[:,::1], int64)"``.
    """
    return lambda function: Kernel(function, signature)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a helper that kernels call; its body is compiled into each of them."""
    return cast(Callable[P, R], numba.njit(inline="always", **_FLAGS)(function))
