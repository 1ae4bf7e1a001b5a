"""Arrays with walls around them, to see that kernels stay inside."""

import ctypes
import mmap

import numpy as np


def walled(data: np.ndarray) -> np.ndarray:
    """A read-only copy that ends where memory ends: reading past it is a segmentation fault."""
    size = data.nbytes
    pages = -(-size // mmap.PAGESIZE) + 1
    memory = mmap.mmap(-1, pages * mmap.PAGESIZE)
    wall = (pages - 1) * mmap.PAGESIZE
    address = np.frombuffer(memory, np.uint8).ctypes.data + wall
    protected = ctypes.CDLL(None).mprotect(ctypes.c_void_p(address), mmap.PAGESIZE, 0)
    assert protected == 0
    copy = np.frombuffer(memory, data.dtype, data.size, wall - size).reshape(data.shape)
    copy[...] = data
    copy.flags.writeable = False
    return copy


class Records:
    """Row records for one test: fields side by side, with foreign bytes before and behind."""

    def __init__(self, rng: np.random.Generator, before: int, behind: int) -> None:
        self.rng, self.at, self.behind = rng, before, behind

    def lay(self, *fields: np.ndarray) -> np.ndarray:
        n = len(fields[0])
        parts = [self.rng.integers(0, 256, (n, self.at), dtype=np.uint8)]
        parts += [np.ascontiguousarray(field).view(np.uint8).reshape(n, -1) for field in fields]
        parts.append(self.rng.integers(0, 256, (n, self.behind), dtype=np.uint8))
        return walled(np.concatenate(parts, 1))


class Output:
    """An output array with sentinels around it; `checked` returns it if they are untouched."""

    GUARD = 200

    def __init__(self, *shape: int, dtype: type = np.float32) -> None:
        size = int(np.prod(shape))
        self._whole = np.full(size + 2 * self.GUARD, 77, dtype)
        self.array = self._whole[self.GUARD : self.GUARD + size].reshape(shape)

    def checked(self) -> np.ndarray:
        assert (self._whole[: self.GUARD] == 77).all()
        assert (self._whole[len(self._whole) - self.GUARD :] == 77).all()
        return self.array
