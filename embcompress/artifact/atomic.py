"""Files that take their final name only when they are whole."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import Self

from embcompress.errors import IOFailure, UsageError

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

_FILES = (".npy", ".npz", ".txt", ".vec", ".bin", ".pt")  # no folder is meant by them
_PIECE = 2**24
_SENT = 2**25  # bytes after which the disk is told to begin
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux
_SYNC_FILE_RANGE_WRITE = 2


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
    _check_parent(path)


def check_folder(
    path: Path, *, force: bool, ours: Callable[[Path], bool], inputs: tuple[Path, ...] = ()
) -> None:
    """Refuse a folder that cannot or must not be written or replaced, before any work.

    Args:
        path: The output.
        force: Whether an existing folder may be replaced.
        ours: Says whether a folder is one that may be replaced.
        inputs: Files and folders that are being read.

    Raises:
        UsageError: It is a file, or holds something that must stay, or an input is in it or it is
            in an input.
        IOFailure: The folder that it is in is missing or cannot be written.
    """
    target = Path(os.path.realpath(path))
    for source in inputs:
        real = Path(os.path.realpath(source))
        if real == target:
            raise UsageError(f"{path}: the output is the input; choose another name")
        if real.is_relative_to(target):
            raise UsageError(f"{path}: holds the input {source}; choose another name")
        if target.is_relative_to(real):
            raise UsageError(f"{path}: is inside of the input {source}; choose another name")
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path}: is a file, and several shards make a folder; name a folder")
    if path.suffix in _FILES and not path.exists():
        raise UsageError(f"{path}: a whole model makes a folder; name one, without {path.suffix}")
    if path.is_dir() and any(path.iterdir()):
        if not ours(path):
            raise UsageError(
                f"{path}: is a folder with other files in it, which is never replaced; name a new"
                " folder, or a file in it"
            )
        if not force:
            raise UsageError(f"{path}: exists already; --force replaces it")
    _check_parent(Path(os.path.abspath(path)))


def _check_parent(path: Path) -> None:
    folder = path.parent
    if not folder.is_dir():
        raise IOFailure(f"{folder}: no such folder; create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise IOFailure(f"{folder}: permission denied; choose a folder you can write")


class OpenFile:
    """A file that is being written through a descriptor.

    Attributes:
        path: Its name in messages.
        fd: The descriptor.
    """

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd
        self._unsent = 0

    def reserve(self, size: int) -> None:
        """Check that the disk has room and set the file's length.

        Raises:
            IOFailure: The disk has less room.
        """
        check_room(self.path, self.fd, size)
        self.resize(size)

    def resize(self, size: int) -> None:
        """Set the file's length.

        Raises:
            IOFailure: The system refuses.
        """
        attempt(self.path, lambda: os.ftruncate(self.fd, size))

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
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
        self._unsent += done  # threads may lose some of it: then it is sent later
        if self._unsent >= _SENT:
            self._unsent = 0
            _send(self.fd)


class AtomicFile(OpenFile):
    """A file written under a hidden name beside its target, renamed by ``commit``.

    The hidden name is locked, so that a second run on one target is refused. Leaving the
    ``with`` block without ``commit`` removes what was written.
    """

    def __init__(self, path: Path) -> None:
        """Create and lock the hidden file.

        Raises:
            IOFailure: Another run holds the lock, or the system refuses.
        """
        self._hidden = path.with_name(f".{path.name}.part")
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        super().__init__(path, _locked(path, lambda: os.open(self._hidden, flags, 0o666),
                                       self._hidden))  # fmt: skip
        os.ftruncate(self.fd, 0)
        self._open_still = True

    def commit(self) -> None:
        """Flush to the disk and take the final name.

        Raises:
            IOFailure: The system refuses.
        """

        def finish() -> None:
            os.fsync(self.fd)
            os.replace(self._hidden, self.path)
            _sync_folder(self.path.parent)

        attempt(self.path, finish)
        self._close()

    def discard(self) -> None:
        """Remove what was written; does nothing after ``commit``."""
        if self._open_still:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._hidden)
            self._close()

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


class AtomicFolder:
    """A folder written under a hidden name beside its target, renamed whole by ``commit``.

    The hidden folder is locked, so that a second run on one target is refused. Leaving the
    ``with`` block without ``commit`` removes what was written.

    Attributes:
        path: The target.
        fd: A descriptor of the hidden folder.
    """

    def __init__(self, path: Path) -> None:
        """Create and lock the hidden folder.

        Raises:
            IOFailure: Another run holds the lock, or the system refuses.
        """
        self.path = path
        self._hidden = path.with_name(f".{path.name}.part")
        self._files: dict[str, OpenFile] = {}

        def create() -> int:
            os.makedirs(self._hidden, exist_ok=True)
            return os.open(self._hidden, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

        self.fd = _locked(path, create, self._hidden)
        self._open_still = True
        attempt(path, lambda: _empty(self._hidden))

    def create(self, name: str) -> OpenFile:
        """Begin a file.

        Raises:
            IOFailure: The system refuses.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        found: list[int] = []

        def open_it() -> None:
            os.makedirs((self._hidden / name).parent, exist_ok=True)
            found.append(os.open(self._hidden / name, flags, 0o666))

        attempt(self.path / name, open_it)
        self._files[name] = OpenFile(self.path / name, found[0])
        return self._files[name]

    def rename(self, name: str, final: str) -> None:
        """Give a file of the folder another name.

        Raises:
            IOFailure: The system refuses.
        """
        attempt(self.path, lambda: os.rename(self._hidden / name, self._hidden / final))
        self._files[final] = self._files.pop(name)

    def copy(self, name: str, source: Path) -> None:
        """Copy a file into the folder.

        Raises:
            IOFailure: The system refuses.
        """
        file = self.create(name)
        at = 0
        try:
            with open(source, "rb") as read:
                while data := read.read(_PIECE):
                    file.write_at(at, data)
                    at += len(data)
        except OSError as error:
            raise system_failure(source, error) from error

    def commit(self, stale: Collection[str] = ()) -> None:
        """Flush to the disk and take the final name, in the place of an older folder.

        Args:
            stale: Files of the older folder that go with it. Its others stay, unless this folder
                has files of their names.

        Raises:
            IOFailure: The system refuses.
        """

        def finish() -> None:
            self._take_over(stale)
            for file in self._files.values():
                os.fsync(file.fd)
            for place, _, _ in os.walk(self._hidden):
                _sync_folder(Path(place))
            if self.path.is_dir() and any(self.path.iterdir()):
                _exchange(self._hidden, self.path)
                # from here on another run may take the hidden name
                old = self._hidden.with_suffix(f".{os.getpid()}.old")
                os.rename(self._hidden, old)
                shutil.rmtree(old, ignore_errors=True)
            else:
                os.rename(self._hidden, self.path)
            _sync_folder(Path(os.path.abspath(self.path)).parent)

        attempt(self.path, finish)
        self._close()

    def _take_over(self, stale: Collection[str]) -> None:
        """Link the older folder's other files into this one."""
        for place, folders, names in os.walk(self.path):
            below = Path(place).relative_to(self.path)
            links = [name for name in folders if (Path(place) / name).is_symlink()]
            for name in (*names, *links):
                target = self._hidden / below / name
                if str(below / name) not in stale and not os.path.lexists(target):
                    os.makedirs(target.parent, exist_ok=True)
                    os.link(Path(place) / name, target, follow_symlinks=False)

    def discard(self) -> None:
        """Remove what was written; does nothing after ``commit``."""
        if self._open_still:
            shutil.rmtree(self._hidden, ignore_errors=True)
            self._close()

    def _close(self) -> None:
        for file in self._files.values():
            os.close(file.fd)
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


def _locked(path: Path, create: Callable[[], int], hidden: Path) -> int:
    """Create what has a hidden name, and lock it.

    Raises:
        IOFailure: Another run holds the lock, or the system refuses.
    """
    while True:
        try:
            fd = create()
        except OSError as error:
            raise system_failure(path, error) from error
        _lock(path, fd)
        with contextlib.suppress(FileNotFoundError):
            # the name may have been renamed away between opening and locking
            if os.fstat(fd).st_ino == os.stat(hidden).st_ino:
                return fd
        os.close(fd)


def _lock(path: Path, fd: int) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            os.close(fd)
            raise IOFailure(f"{path}: another run is writing it") from error


def _empty(folder: Path) -> None:
    """Remove what an interrupted run left in a folder."""
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def _exchange(one: Path, other: Path) -> None:
    """Let two folders swap their names, in one step where the system can."""
    import ctypes

    swap = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if swap is not None:
        names = (os.fsencode(os.path.abspath(path)) for path in (one, other))
        if swap(_AT_FDCWD, next(names), _AT_FDCWD, next(names), _RENAME_EXCHANGE) == 0:
            return
    aside = one.with_name(f"{one.name}.old")
    os.rename(other, aside)
    os.rename(one, other)
    os.rename(aside, one)


def _send(fd: int) -> None:
    """Let the disk begin to write what a file has, where the system can, and do not wait.

    The flush of ``commit`` then waits for the last of it only.
    """
    import ctypes

    begin = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if begin is not None:  # from 0 to 0 is the whole file
        begin(fd, ctypes.c_int64(0), ctypes.c_int64(0), _SYNC_FILE_RANGE_WRITE)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def check_room(path: Path, fd: int, size: int) -> None:
    """Check that the disk of an open file or folder has room.

    Raises:
        IOFailure: It has less.
    """
    stats = os.fstatvfs(fd)
    room = stats.f_bavail * stats.f_frsize
    if room < size:
        raise IOFailure(f"{path}: needs {size:,} bytes, the disk has {room:,}")


def attempt(path: Path, action: Callable[[], None]) -> None:
    """Do something that the system may refuse.

    Raises:
        IOFailure: It does.
    """
    try:
        action()
    except OSError as error:
        raise system_failure(path, error) from error


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
