"""A source file on disk: opened once, read at any offset by any thread, watched for changes."""

from __future__ import annotations

import os
import stat
from types import TracebackType
from typing import Self

from embcompress.errors import BadInput, IOFailure
from embcompress.tables.quoting import shown


class SourceFile:
    """A regular file opened for positioned reads on one descriptor.

    Reads never move a file position, so threads and forked processes may share an instance.

    Attributes:
        path: The path as it was given.
        shown: The path as messages print it.
        size: Bytes in the file when it was opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the file.

        Args:
            path: A regular file, or a link to one.

        Raises:
            BadInput: There is no such file, or it is a directory, pipe or device.
            IOFailure: The system refuses to open it, for lack of permission for instance.
        """
        self.path = os.fspath(path)
        self.shown = shown(self.path)
        self._absolute = os.path.abspath(self.path)
        self._descriptor = self._open()
        try:
            status = os.fstat(self._descriptor)
            if stat.S_ISDIR(status.st_mode):
                raise BadInput(
                    f"{self.shown}: is a directory; name a .npy or .safetensors file inside it"
                )
            if not stat.S_ISREG(status.st_mode):
                raise BadInput(
                    f"{self.shown}: is not a regular file (a pipe, socket or device); "
                    "save it to disk first"
                )
        except BaseException:
            self.close()
            raise
        self.size = status.st_size
        self._opened_as = _identity(status)

    def _open(self) -> int:
        try:
            # O_NONBLOCK: opening a pipe without a writer returns instead of hanging.
            return os.open(self._absolute, os.O_RDONLY | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BadInput(f"{self.shown}: no such file") from error
        except ValueError as error:
            raise BadInput(f"{self.shown}: no such file ({error})") from error
        except OSError as error:
            raise IOFailure(f"{self.shown}: cannot be opened: {error.strerror}") from error

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill a buffer with the bytes that start at an offset.

        Args:
            buffer: Writable, contiguous; any item size.
            offset: First byte, counted from the start of the file.

        Raises:
            IOFailure: The file ends before the buffer is full, because it was cut short after it
                was opened, or the system reports a read error.
            ValueError: The file is closed.
        """
        if self._descriptor < 0:
            raise ValueError(f"{self.shown}: read after close")
        if not buffer.nbytes:
            return
        left = buffer.cast("B")
        while left.nbytes:
            try:
                count = os.preadv(self._descriptor, [left], offset)
            except OSError as error:
                raise IOFailure(
                    f"{self.shown}: reading at byte {offset:,} failed: {error.strerror}"
                ) from error
            if count == 0:
                raise IOFailure(
                    f"{self.shown}: ends at byte {offset:,} but had {self.size:,} bytes when it "
                    "was opened: it changed while it was read; run again"
                )
            left = left[count:]
            offset += count

    def read(self, offset: int, count: int) -> bytes:
        """Read bytes, fewer than asked for only where the file ends.

        Args:
            offset: First byte, counted from the start of the file.
            count: Bytes wanted.

        Raises:
            IOFailure: As for ``read_into``.
        """
        data = bytearray(max(0, min(count, self.size - offset)))
        self.read_into(memoryview(data), offset)
        return bytes(data)

    def unchanged(self) -> None:
        """Check that this is still the file that was opened.

        Raises:
            IOFailure: Size, modification time (ns) or identity differ, or the path is gone.
        """
        try:
            now = {_identity(os.fstat(self._descriptor)), _identity(os.stat(self._absolute))}
        except OSError as error:
            raise IOFailure(f"{self.shown}: went away while it was read") from error
        if now != {self._opened_as}:
            raise IOFailure(
                f"{self.shown}: changed while it was read (other size, time or file); run again"
            )

    def close(self) -> None:
        """Close the descriptor; later reads raise ValueError."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev
