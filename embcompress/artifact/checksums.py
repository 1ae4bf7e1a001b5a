"""Checksums: blake2b digests of 16 bytes over chunks of every tensor."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embcompress.errors import BadInput

HEADER = "the header"
"""Stands for a tensor's name in the block of a file's header."""

CHUNK = 2**18
DIGEST = 16
GROUP = 8 * CHUNK
"""Bytes whose chunks are digested side by side."""


def digest(data: bytes | NDArray[np.uint8]) -> bytes:
    """blake2b of 16 bytes."""
    raw = data if isinstance(data, bytes) else data.data
    return hashlib.blake2b(raw, digest_size=DIGEST).digest()


def digests(data: NDArray[np.uint8]) -> bytes:
    """The digests of the chunks of a tensor, or of a part of it that begins with a chunk.

    Args:
        data: uint8, contiguous.
    """
    found = []
    at = 0
    if len(data) >= GROUP and sys.byteorder == "little":
        from embcompress.kernels.blake2b import digests_of

        while at + GROUP <= len(data):
            found.append(digests_of(data[at : at + GROUP], CHUNK))
            at += GROUP
    found += [digest(data[a : a + CHUNK]) for a in range(at, len(data), CHUNK)]
    return b"".join(found)


def chunks(nbytes: int) -> int:
    """How many chunks a tensor has."""
    return -(-nbytes // CHUNK)


@dataclass(frozen=True)
class Block:
    """One checked chunk of a tensor.

    Args:
        index: Its digest's number.
        tensor: The tensor's name.
        begin: First byte in the file's data.
        end: Byte after the last.
        start: First byte inside the tensor.
    """

    index: int
    tensor: str
    begin: int
    end: int
    start: int


class Guard:
    """Checks chunks of an artifact the first time that somebody needs them.

    Args:
        blocks: All chunks in the order of their digests.
        digests: uint8 [chunks, 16].
        read: Gives the file's data bytes between two offsets.
        where: The file, for errors.
        on: Whether anything is checked.
    """

    def __init__(
        self,
        blocks: list[Block],
        digests: NDArray[np.uint8],
        read: Callable[[int, int], NDArray[np.uint8]],
        where: str,
        *,
        on: bool,
    ) -> None:
        self._blocks = blocks
        self._digests = digests
        self._read = read
        self._where = where
        self._on = on
        self._first: dict[str, int] = {}
        for block in blocks:
            self._first.setdefault(block.tensor, block.index)
        self._good = np.zeros(len(blocks), bool)
        self._all_good: set[str] = set()

    def headers(self) -> list[str]:
        """The names under which the files' headers are checked."""
        return [name for name in self._first if name.startswith(HEADER)]

    def checked(self, tensor: str) -> bool:
        """Whether nothing of a tensor is left to check."""
        return not self._on or tensor in self._all_good

    def whole(self, tensor: str, nbytes: int) -> None:
        """Check every chunk of a tensor.

        Raises:
            BadInput: A chunk does not match its checksum.
        """
        if not self._on or tensor not in self._first:
            return
        first = self._first[tensor]
        self._need(range(first, first + chunks(nbytes)))

    def span(self, tensor: str, begin: int, end: int) -> None:
        """Check the chunks that hold the bytes ``begin … end - 1`` of a tensor.

        Raises:
            BadInput: A chunk does not match its checksum.
        """
        if self._on and end > begin:
            first = self._first[tensor]
            self._need(range(first + begin // CHUNK, first + (end - 1) // CHUNK + 1))

    def records(self, tensor: str, rows: NDArray[np.int64], size: int, nbytes: int) -> None:
        """Check the chunks that hold some records.

        Args:
            tensor: The tensor of records.
            rows: int64 [b], positions in it.
            size: Bytes of a record.
            nbytes: Bytes of the tensor.

        Raises:
            BadInput: A chunk does not match its checksum.
        """
        if not self._on or tensor in self._all_good or not nbytes:
            return
        span = size // CHUNK + 1
        for step in range(span + 1):
            at = np.minimum(rows * size + min(step * CHUNK, size - 1), nbytes - 1)
            self._touch(tensor, at)
        self._note_all(tensor, nbytes)

    def packed(self, tensor: str, rows: NDArray[np.int64], bits: int, nbytes: int) -> None:
        """Check the chunks that hold some codes of a bit string.

        Args:
            tensor: The tensor of the bit string.
            rows: int64 [b], positions in it.
            bits: Bits of a code.
            nbytes: Bytes of the tensor.

        Raises:
            BadInput: A chunk does not match its checksum.
        """
        if not self._on or tensor in self._all_good:
            return
        self._touch(tensor, rows * bits // 8)
        self._touch(tensor, (rows * bits + bits - 1) // 8)
        self._note_all(tensor, nbytes)

    def spans(
        self, tensor: str, begins: NDArray[np.int64], ends: NDArray[np.int64], nbytes: int
    ) -> None:
        """Check the chunks that hold some spans, as far as they lie in the tensor.

        Args:
            tensor: The tensor.
            begins: int64 [b], first bytes.
            ends: int64 [b], the bytes after the last.
            nbytes: Bytes of the tensor.

        Raises:
            BadInput: A chunk does not match its checksum.
        """
        if not self._on or tensor in self._all_good or not nbytes:
            return
        longest = int((ends - begins).max(initial=0))
        for step in range(min(longest, nbytes) // CHUNK + 2):
            at = np.minimum(begins + step * CHUNK, ends - 1)
            self._touch(tensor, np.clip(at, 0, nbytes - 1))
        self._note_all(tensor, nbytes)

    def _touch(self, tensor: str, at: NDArray[np.int64]) -> None:
        index = self._first[tensor] + at // CHUNK
        if not self._good[index].all():
            self._need(np.unique(index[~self._good[index]]).tolist())

    def _note_all(self, tensor: str, nbytes: int) -> None:
        base = self._first[tensor]
        if self._good[base : base + chunks(nbytes)].all():
            self._all_good.add(tensor)

    def _need(self, indices: Iterable[int]) -> None:
        for i in indices:
            if not self._good[i]:
                problem = self.problem(self._blocks[i])
                if problem:
                    raise BadInput(f"{self._where}: {problem}")
                self._good[i] = True

    def problem(self, block: Block) -> str | None:
        """What is wrong with a chunk, if anything."""
        if digest(self._read(block.begin, block.end)) == self._digests[block.index].tobytes():
            return None
        stop = block.start + block.end - block.begin
        return f"tensor '{block.tensor}' is damaged between its bytes {block.start} and {stop}"
