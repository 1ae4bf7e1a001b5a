"""Binary vectors: word2vec's, and the fvecs, bvecs and fbin files of vector search."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embcompress.convert.stream import Made, TableStream, Whole, write_tensors
from embcompress.errors import BadInput
from embcompress.progress import Progress
from embcompress.tables.file import SourceFile
from embcompress.tables.header import tensor_info

WORD2VEC = re.compile(rb"([0-9]{1,15}) ([0-9]{1,9}) ?\n")
"""The first line of a binary word2vec file."""

_BLOCK = 2**23
_MOST_TOKEN = 2**16
_MOST_COLUMNS = 2**24


def convert_word2vec(file: SourceFile, output: Path, name: str, progress: Progress) -> Made:
    """Bring a binary word2vec file into safetensors: after each token d float32, little endian.

    Args:
        file: The open file.
        output: The file to write.
        name: The table's name.
        progress: Told of rows and notes.

    Raises:
        BadInput: It ends early or goes on after the announced rows, or a value is not finite.
        IOFailure: The system refuses.
    """
    header = WORD2VEC.match(file.read(0, 64))
    if header is None:
        raise BadInput(f"{file.shown}: is no binary word2vec file: its first line is not 'N D'")
    n, d = int(header[1]), int(header[2])
    if not d or n * (4 * d + 1) > file.size:
        raise BadInput(
            f"{file.shown}: its header announces {n:,} rows of {d:,} numbers, more than its"
            f" {file.size:,} bytes hold; fetch it again"
        )
    foreign = 0
    with TableStream(output, name, d) as stream, progress.stage("converting", n) as stage:
        for keys, rows in _word2vec_rows(file, header.end(), n, d):
            _check_finite(file, rows, stream.rows)
            stream.add(rows)
            stream.add_keys(b"".join(keys), np.array([len(key) for key in keys], np.int64))
            foreign += sum(not _is_text(key) for key in keys)
            stage.advance(len(keys))
        if foreign:
            progress.note(
                f"{file.shown}: {foreign:,} tokens are not UTF-8 (Latin-1?); their bytes are kept"
            )
        file.unchanged()
        return stream.commit()


def _word2vec_rows(
    file: SourceFile, start: int, n: int, d: int
) -> Iterator[tuple[list[bytes], NDArray[np.float32]]]:
    """Keys and rows, float32 [b, d], some at a time."""
    size = 4 * d
    done = 0
    while done < n:
        block = file.read(start, max(_BLOCK, 2 * size + _MOST_TOKEN))
        keys: list[bytes] = []
        begins: list[int] = []
        at = 0
        while done + len(keys) < n:
            begin = at + 1 if block[at : at + 1] == b"\n" else at
            space = block.find(b" ", begin, begin + _MOST_TOKEN)
            if space < 0 or space + 1 + size > len(block):
                break
            keys.append(block[begin:space])
            begins.append(space + 1)
            at = space + 1 + size
        if not keys:
            raise BadInput(
                f"{file.shown}: ends or is damaged after {done:,} of the {n:,} rows that its"
                " header announces; fetch it again"
            )
        data = np.frombuffer(block, np.uint8)
        taken = data[np.array(begins)[:, None] + np.arange(size)]
        yield keys, taken.view("<f4")
        done += len(keys)
        start += at
    left = file.read(start, 2)
    if left.strip(b"\n"):
        raise BadInput(
            f"{file.shown}: goes on after the {n:,} rows that its header announces; the header is"
            " wrong"
        )


def _is_text(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True


def _check_finite(file: SourceFile, rows: NDArray[np.float32], before: int) -> None:
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        raise BadInput(
            f"{file.shown}: row {before + int(bad.argmax()):,} holds NaN or infinity; the file is"
            " damaged, or of another kind"
        )


def convert_vecs(file: SourceFile, output: Path, name: str, progress: Progress, item: str) -> Made:
    """Bring an .fvecs or .bvecs file into safetensors: before every row stands its dimension.

    Args:
        file: The open file.
        output: The file to write.
        name: The table's name.
        progress: Told of rows.
        item: "<f4" for fvecs, "u1" for bvecs, whose bytes become float16.

    Raises:
        BadInput: The rows' dimensions differ, or the size is not that of whole rows.
        IOFailure: The system refuses.
    """
    d = int(np.frombuffer(file.read(0, 4) if file.size >= 4 else bytes(4), "<i4")[0])
    stride = 4 + d * np.dtype(item).itemsize
    if not 0 < d <= _MOST_COLUMNS or file.size % stride:
        raise BadInput(
            f"{file.shown}: {file.size:,} bytes are no whole rows of {d:,} numbers, the dimension"
            " that it begins with; it is damaged or of another kind"
        )
    n = file.size // stride
    dtype = "F32" if item == "<f4" else "F16"

    def pieces() -> Iterator[NDArray[np.float32] | NDArray[np.float16]]:
        step = max(1, _BLOCK // stride)
        with progress.stage("converting", n) as stage:
            for row in range(0, n, step):
                count = min(step, n - row)
                raw = np.frombuffer(file.read(row * stride, count * stride), np.uint8)
                raw = raw.reshape(count, stride)
                found = np.ascontiguousarray(raw[:, :4]).view("<i4")[:, 0]
                if (found != d).any():
                    wrong = int((found != d).argmax())
                    raise BadInput(
                        f"{file.shown}: row {row + wrong:,} has dimension {found[wrong]:,}, the"
                        f" first has {d:,}"
                    )
                values = np.ascontiguousarray(raw[:, 4:]).view(item)
                yield values if dtype == "F32" else values.astype("<f2")
                stage.advance(count)
        file.unchanged()

    return write_tensors(output, [Whole(tensor_info(name, dtype, (n, d)), pieces)])


def convert_fbin(file: SourceFile, output: Path, name: str, progress: Progress) -> Made:
    """Bring an .fbin file into safetensors: two int32, rows and columns, then float32.

    Args:
        file: The open file.
        output: The file to write.
        name: The table's name.
        progress: Told of rows.

    Raises:
        BadInput: The size is not what rows and columns say.
        IOFailure: The system refuses.
    """
    n, d = (int(x) for x in np.frombuffer(file.read(0, 8).ljust(8, b"\0"), "<u4"))
    if file.size != 8 + 4 * n * d:
        raise BadInput(
            f"{file.shown}: begins with {n:,} rows of {d:,} numbers, which take"
            f" {8 + 4 * n * d:,} bytes, and has {file.size:,}; it is damaged or of another kind"
        )

    def pieces() -> Iterator[bytes]:
        with progress.stage("converting", n) as stage:
            for at in range(8, file.size, _BLOCK):
                yield file.read(at, _BLOCK)
                stage.advance(_BLOCK // max(4 * d, 1))
        file.unchanged()

    return write_tensors(output, [Whole(tensor_info(name, "F32", (n, d)), pieces)])
