"""Archives of numpy arrays: .npz, read member by member without unpacking to disk."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embcompress.convert.stream import Made, Pieces, Whole, write_tensors
from embcompress.errors import BadInput, IOFailure
from embcompress.progress import Progress
from embcompress.tables.file import SourceFile
from embcompress.tables.header import tensor_info
from embcompress.tables.npy import MAGIC, MAX_HEADER_BYTES, NpyHeader, read_npy_header
from embcompress.tables.quoting import quoted
from embcompress.tables.weights import stored_type

_PIECE = 2**22
_MOST_EXPANSION = 100
_SMALL = 2**20  # bytes that may come of any expansion
_MOST_TURNED = 2**31  # bytes of an array in Fortran order, which is turned in memory


@dataclass(frozen=True)
class Beginning:
    """The first bytes of a member, for the parser of headers."""

    shown: str
    size: int
    head: bytes

    def read(self, offset: int, count: int) -> bytes:
        """Read bytes of the beginning."""
        return self.head[offset : offset + count]


def convert_npz(file: SourceFile, output: Path, progress: Progress) -> Made:
    """Bring the arrays of an .npz file into safetensors, under their names.

    Args:
        file: The open file.
        output: The file to write.
        progress: Told of bytes and notes.

    Raises:
        BadInput: A damaged archive, one that expands beyond reason, or no array of numbers in it.
        IOFailure: The system refuses.
    """
    try:
        with zipfile.ZipFile(file.path) as archive:
            tensors = list(_members(file, archive, progress))
            if not tensors:
                raise BadInput(f"{file.shown}: holds no array of floats or integers")
            return write_tensors(output, tensors)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BadInput(f"{file.shown}: is a damaged archive: {error}") from error
    except OSError as error:
        raise IOFailure(f"{file.shown}: cannot be read: {error.strerror or error}") from error


def _members(file: SourceFile, archive: zipfile.ZipFile, progress: Progress) -> Iterator[Whole]:
    names = set()
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        where = f"{file.shown}: array {quoted(name)}"
        if member.is_dir():
            continue
        if name in names:
            raise BadInput(f"{where} is there twice")
        names.add(name)
        grown = member.file_size > max(_SMALL, _MOST_EXPANSION * max(member.compress_size, 1))
        if grown or member.compress_size > file.size:
            raise BadInput(
                f"{where} expands from {member.compress_size:,} to {member.file_size:,} bytes, more"
                f" than {_MOST_EXPANSION} times: not unpacked; if it is sound, save it with np.save"
            )
        with archive.open(member) as opened:
            head = opened.read(MAX_HEADER_BYTES + 12)
        if not head.startswith(MAGIC):
            raise BadInput(f"{where} is no array: it does not begin as .npy files do")
        header = read_npy_header(Beginning(where, member.file_size, head))
        info = tensor_info(name, header.dtype, header.shape)
        if header.fortran and len(header.shape) > 1 and info.nbytes > _MOST_TURNED:
            raise BadInput(
                f"{where} has {info.nbytes:,} bytes in Fortran order, too many to turn in memory;"
                " save np.ascontiguousarray of it"
            )
        yield Whole(info, _reader(archive, member, header, info.nbytes, where, progress))


def _reader(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    header: NpyHeader,
    nbytes: int,
    where: str,
    progress: Progress,
) -> Callable[[], Pieces]:
    stored = stored_type(header.dtype, header.order)
    turned = header.fortran and len(header.shape) > 1

    def pieces() -> Pieces:
        with archive.open(member) as opened, progress.stage("converting", nbytes) as stage:
            opened.read(header.data_start)
            left = nbytes
            whole = []
            while left:
                data = opened.read(min(_PIECE, left))
                if not data:
                    raise BadInput(f"{where} ends {left:,} bytes early")
                left -= len(data)
                stage.advance(len(data))
                if len(data) % stored.itemsize:  # only where a deflated stream breaks off
                    more = opened.read(stored.itemsize - len(data) % stored.itemsize)
                    left -= len(more)
                    data += more
                if turned:
                    whole.append(data)
                else:
                    yield np.frombuffer(data, stored).astype(stored.newbyteorder("<"))
        if turned:
            array = np.frombuffer(b"".join(whole), stored).reshape(header.shape, order="F")
            yield np.ascontiguousarray(array).astype(stored.newbyteorder("<"))

    return pieces
