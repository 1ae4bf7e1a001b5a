"""Word vectors in text: GloVe, word2vec, fastText's .vec. A line is a token and d numbers.

Lines are parsed in blocks over the cores; what the kernel does not decide, Python's float does.
Tokens are kept as the bytes they are, spaces included: the last d fields are the numbers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embcompress.convert.stream import Made, TableStream
from embcompress.errors import BadInput
from embcompress.kernels.decimals import parse_lines
from embcompress.progress import Progress
from embcompress.tables.file import SourceFile
from embcompress.threads import ordered

_BLOCK = 2**21  # bytes of text parsed at a time
_LOOKED_AT = 1000  # lines that tell the dimension
_HEAD = 2**20  # bytes in which they mostly lie
_MOST_LINE = 2**24
_DOUBTS = 2**16
_HEADER = re.compile(rb"[0-9]{1,15} [0-9]{1,9} *\r?")
_NUMBER = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_FIELDS = re.compile(rb"[^ \t]+")
_MARKERS = (b"<<<<<<<", b"=======", b">>>>>>>")
_SHOWN = 40


@dataclass(frozen=True)
class Form:
    """What the first lines tell.

    Args:
        d: Numbers in a line.
        rows: Lines that a header announces, if there is one.
        start: Where the first row begins, in bytes.
    """

    d: int
    rows: int | None
    start: int


@dataclass(frozen=True)
class Block:
    """Parsed lines.

    Args:
        values: float32 [b, d].
        keys: The tokens, back to back.
        lengths: int64 [b], their bytes.
        foreign: Tokens that are not UTF-8.
        problem: What is wrong with the line after them, if anything.
    """

    values: NDArray[np.float32]
    keys: bytes
    lengths: NDArray[np.int64]
    foreign: int
    problem: str | None


def convert_text(
    file: SourceFile, output: Path, name: str, threads: int, progress: Progress
) -> Made:
    """Bring word vectors in text into safetensors.

    Args:
        file: The open file.
        output: The file to write.
        name: The table's name.
        threads: Cores to use.
        progress: Told of rows and notes.

    Raises:
        BadInput: A line that is not a token and d finite numbers, or a wrong count in the header.
        IOFailure: The system refuses.
    """
    form = read_form(file)
    foreign = 0
    before = 1 if form.rows is None else 2  # the number of the first row's line
    with TableStream(output, name, form.d) as stream:
        blocks = ordered(lambda text: parse(text, form.d), _blocks(file, form.start), threads)
        with progress.stage("converting", form.rows or file.size // (8 * form.d + 8)) as stage:
            for block in blocks:
                stream.add(block.values)
                stream.add_keys(block.keys, block.lengths)
                stage.advance(len(block.lengths))
                foreign += block.foreign
                if block.problem:
                    line = before + stream.rows
                    raise BadInput(f"{file.shown}: line {line:,}: {block.problem}")
        if form.rows is not None and form.rows != stream.rows:
            raise BadInput(
                f"{file.shown}: its header announces {form.rows:,} rows, it has {stream.rows:,};"
                " fetch it again, or mend the header"
            )
        if foreign:
            progress.note(
                f"{file.shown}: {foreign:,} tokens are not UTF-8 (Latin-1?); their bytes are kept"
            )
        file.unchanged()
        return stream.commit()


def read_form(file: SourceFile) -> Form:
    """Tell the dimension, and whether there is a header, from the first lines.

    Raises:
        BadInput: They are no word vectors.
    """
    head = file.read(0, _HEAD)
    lines = head.split(b"\n", _LOOKED_AT + 1)
    if len(lines) <= 1 + _LOOKED_AT and len(head) < file.size:
        head = file.read(0, _MOST_LINE)
        lines = head.split(b"\n", _LOOKED_AT + 1)
    if len(head) < file.size:
        lines = lines[:-1]
    lines = [line.removesuffix(b"\r") for line in lines[:_LOOKED_AT]]
    first = lines[0] if lines else b""
    counts = Counter(len(_FIELDS.findall(line)) - 1 for line in lines[1:] if line.strip())
    usual = max(counts, key=lambda count: (counts[count], -count), default=None)
    if _HEADER.fullmatch(first):
        rows, d = (int(field) for field in first.split())
        if d and (usual is None or max(counts) >= d):
            return Form(d, rows, (head.find(b"\n") + 1) or len(head))
        if usual != 1:
            raise BadInput(
                f"{file.shown}: line 1: announces rows of {d:,} numbers, and they have {usual:,}"
            )
    counts[len(_FIELDS.findall(first)) - 1] += 1
    d = max(counts, key=lambda count: (counts[count], -count))
    fields = _FIELDS.findall(first)
    if d < 1 or not any(_NUMBER.fullmatch(field) for field in fields[1:]):
        raise BadInput(
            f"{file.shown}: is no word vectors: a line is a token and its numbers, with spaces"
            f" between; line 1 is {_quoted(first)}"
        )
    return Form(d, None, 0)


def _blocks(file: SourceFile, start: int) -> Iterator[bytes]:
    """Whole lines, some megabytes at a time; blank lines at the end of the file are left out."""
    end = file.size
    while end > start and file.read(end - 1, 1) in b"\n\r ":
        end -= 1
    while start < end:
        text = file.read(start, min(_BLOCK, end - start))
        if start + len(text) < end:
            cut = text.rfind(b"\n") + 1
            if not cut:
                text = file.read(start, min(_MOST_LINE, end - start))
                cut = text.find(b"\n") + 1
            if not cut:
                raise BadInput(f"{file.shown}: a line of more than {_MOST_LINE:,} bytes")
            text = text[:cut]
        start += len(text)
        yield text if text.endswith(b"\n") else text + b"\n"


def parse(text: bytes, d: int) -> Block:
    """Parse lines.

    Args:
        text: Whole lines, each with its newline.
        d: Numbers in a line.

    Returns:
        The lines before the first that is wrong, and what is wrong with that.
    """
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(data == 0x0A)
    starts = np.zeros_like(ends)
    starts[1:] = ends[:-1] + 1
    stops = ends - ((ends > starts) & (data[np.maximum(ends - 1, 0)] == 0x0D))
    values = np.empty((len(ends), d), np.float32)
    tokens = np.full(len(ends), -1, np.int64)
    doubts = np.empty((max(_DOUBTS, d), 4), np.int64)
    counts = np.zeros(1, np.int64)
    problem = None
    done = 0
    while done < len(ends) and problem is None:
        done = parse_lines(data, starts, stops, done, values, tokens, doubts, counts)
        done, problem = _decide(text, values, doubts[: counts[0]], done)
        if problem is None and done and tokens[done - 1] < 0:
            done -= 1
            problem = _short(text[starts[done] : stops[done]], d)
    if problem is not None and text.startswith(_MARKERS, starts[done]):
        problem = f"is a conflict marker of git, {_quoted(text[starts[done] : stops[done]])}"
    lengths = tokens[:done] - starts[:done]
    keys = _gather(data, starts[:done], lengths)
    wide, at = _numbers_in_tokens(keys, lengths, d)
    if wide is not None:
        done, problem = at, wide
        lengths = lengths[:done]
        keys = keys[: int(lengths.sum())]
    return Block(values[:done], keys, lengths, _foreign(keys, lengths), problem)


def _decide(
    text: bytes, values: NDArray[np.float32], doubts: NDArray[np.int64], done: int
) -> tuple[int, str | None]:
    """Read fields as Python does; gives the lines that are good and what ends them."""
    for line, column, begin, end in doubts.tolist():
        field = text[begin:end]
        if not _NUMBER.fullmatch(field):
            return line, f"{_quoted(field)} is no finite number"
        with np.errstate(over="ignore"):
            value = np.float32(float(field))
        if np.isinf(value):
            return line, f"{_quoted(field)} is beyond float32"
        values[line, column] = value
    return done, None


def _short(line: bytes, d: int) -> str:
    fields = len(_FIELDS.findall(line))
    if not fields:
        return "is empty"
    return f"has {fields - 1} numbers where others have {d}: {_quoted(line)}"


def _numbers_in_tokens(keys: bytes, lengths: NDArray[np.int64], d: int) -> tuple[str | None, int]:
    """Find a token whose last word is a number: a line of too many numbers."""
    spaces = np.flatnonzero(np.frombuffer(keys, np.uint8) == 0x20)
    ends = np.cumsum(lengths)
    for line in np.unique(np.searchsorted(ends, spaces, side="right")).tolist():
        token = keys[int(ends[line] - lengths[line]) : int(ends[line])]
        words = _FIELDS.findall(token)
        if len(words) > 1 and b"." in words[-1] and _NUMBER.fullmatch(words[-1]):
            return f"has more than {d} numbers: {_quoted(token)} …", line
    return None, 0


def _gather(
    data: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> bytes:
    """The bytes of spans, back to back."""
    total = int(lengths.sum())
    ends = np.cumsum(lengths)
    at = np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
    return bytes(data[at])


def _foreign(keys: bytes, lengths: NDArray[np.int64]) -> int:
    """How many keys are not UTF-8."""
    try:
        keys.decode()
    except UnicodeDecodeError:
        count = at = 0
        for length in lengths.tolist():
            try:
                keys[at : at + length].decode()
            except UnicodeDecodeError:
                count += 1
            at += length
        return count
    return 0


def _quoted(raw: bytes) -> str:
    text = raw[:_SHOWN].decode(errors="backslashreplace")
    return repr(text) + ("…" if len(raw) > _SHOWN else "")
