"""Files that take their final name only when they are whole."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from embcompress.errors import IOFailure, UsageError

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]


def check_target(path: Path, *, force: bool, inputs: tuple[Path, ...] = ()) -> None:
    """Refuse an output that cannot or must not be written, before any work.

    Args:
        path: The output.
        force: Whether an existing file may be replaced.
        inputs: Files that are being read.

    Raises:
        UsageError: It exists and ``force`` is off, is a folder, or is one of the inputs.
        IOFailure: Its folder is missing or cannot be written.
    """
    for source in inputs:
        if path.exists() and source.exists() and os.path.samefile(path, source):
            raise UsageError(f"{path}: the output is the input; choose another name")
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name a file in it")
    if path.exists() and not force:
        raise UsageError(f"{path}: exists already; --force replaces it")
    folder = path.parent
    if not folder.is_dir():
        raise IOFailure(f"{folder}: no such folder; create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise IOFailure(f"{folder}: permission denied; choose a folder you can write")


class AtomicFile:
    """A file written under a hidden name beside its target, renamed by ``commit``.

    The hidden name is locked, so that a second run on one target is refused. Leaving the
    ``with`` block without ``commit`` removes what was written.
    """

    def __init__(self, path: Path) -> None:
        """Create and lock the hidden file.

        Raises:
            IOFailure: Another run holds the lock, or the system refuses.
        """
        self.path = path
        self._hidden = path.with_name(f".{path.name}.part")
        self.fd = self._open()
        self._open_still = True

    def _open(self) -> int:
        while True:
            try:
                fd = os.open(self._hidden, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except OSError as error:
                raise system_failure(self.path, error) from error
            self._lock(fd)
            with contextlib.suppress(FileNotFoundError):
                # the name may have been renamed away between opening and locking
                if os.fstat(fd).st_ino == os.stat(self._hidden).st_ino:
                    os.ftruncate(fd, 0)
                    return fd
            os.close(fd)

    def _lock(self, fd: int) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                os.close(fd)
                raise IOFailure(f"{self.path}: another run is writing it") from error

    def reserve(self, size: int) -> None:
        """Check that the disk has room and set the file's length.

        Raises:
            IOFailure: The disk has less room.
        """
        stats = os.fstatvfs(self.fd)
        room = stats.f_bavail * stats.f_frsize
        if room < size:
            raise IOFailure(f"{self.path}: needs {size:,} bytes, the disk has {room:,}")
        self.resize(size)

    def resize(self, size: int) -> None:
        """Set the file's length.

        Raises:
            IOFailure: The system refuses.
        """
        self._attempt(lambda: os.ftruncate(self.fd, size))

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Write bytes at an offset; safe from several threads.

        Raises:
            IOFailure: The system refuses, such as a full disk.
        """
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            try:
                done += os.pwrite(self.fd, view[done:], offset + done)
            except OSError as error:
                raise system_failure(self.path, error) from error

    def commit(self) -> None:
        """Flush to the disk and take the final name.

        Raises:
            IOFailure: The system refuses.
        """

        def finish() -> None:
            os.fsync(self.fd)
            os.replace(self._hidden, self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

        self._attempt(finish)
        self._close()

    def discard(self) -> None:
        """Remove what was written; does nothing after ``commit``."""
        if self._open_still:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._hidden)
            self._close()

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError as error:
            raise system_failure(self.path, error) from error

    def _close(self) -> None:
        os.close(self.fd)
        self._open_still = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a small file whole or not at all.

    Raises:
        IOFailure: The system refuses.
    """
    with AtomicFile(path) as file:
        file.write_at(0, data)
        file.commit()


def system_failure(path: Path, error: OSError) -> IOFailure:
    """One line for what the system refused."""
    return IOFailure(f"{path}: {(error.strerror or str(error)).lower()}")
