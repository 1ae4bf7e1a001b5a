"""The grammar of a safetensors header: its entries as they stand, before anything is believed.

This reads the format and nothing wider. It walks the header through a window of one megabyte and
stops at the first byte that does not fit, so a damaged or hostile header costs no more memory than
the entries before that byte: no nesting is ever followed. (A general JSON parser would first build
whatever the file describes: 2 GB for 100 MB of empty lists.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from embcompress.errors import BadInput
from embcompress.tables.file import SourceFile
from embcompress.tables.quoting import quoted

METADATA_KEY = "__metadata__"

_WINDOW = 1 << 20
_LONGEST_TOKEN = 1 << 16
_MAX_DIMENSIONS = 64  # numpy's own limit

_SPACE = re.compile(rb"[ \t\n\r]*+")
_TEXT = re.compile(rb'(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+')
_FIELD = re.compile(rb'"(dtype|shape|data_offsets)"[ \t\n\r]*+:[ \t\n\r]*+')
_DTYPE = re.compile(rb'"([A-Za-z0-9_]{1,32})"')
_INTEGERS = re.compile(
    rb"\[[ \t\n\r]*+((?:(?:0|[1-9][0-9]{0,39})[ \t\n\r]*+(?:,[ \t\n\r]*+(?=[0-9])|(?=\])))*+)\]"
)


class Entry(NamedTuple):
    """One tensor's entry, as it stands."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def parse(file: SourceFile, length: int) -> tuple[list[Entry], dict[str, str]]:
    """Parse the JSON object that starts at byte 8 of a file.

    Args:
        file: The open file.
        length: Bytes of the object and the spaces after it; the file is known to have as many.

    Returns:
        The tensors' entries, with unique names, in the order they stand; and the metadata.

    Raises:
        BadInput: A byte departs from the grammar.
        IOFailure: The file cannot be read.
    """
    return _Parser(file, length).parse()


class _Parser:
    """A cursor over the header's bytes, a window of them at a time."""

    def __init__(self, file: SourceFile, length: int) -> None:
        self._file = file
        self._end = 8 + length
        self._window = b""
        self._window_start = 8
        self._at = 0

    def parse(self) -> tuple[list[Entry], dict[str, str]]:
        """Read the whole header: its tensors in the order of their entries, and the metadata."""
        self._fill()
        if self._window[:1] != b"{":
            self._fail("it does not start with '{'")
        self._at = 1
        tensors: dict[str, Entry] = {}
        metadata: dict[str, str] | None = None
        for key in self._keys("the header"):
            if key != METADATA_KEY:
                if key in tensors:
                    self._fail(f"two tensors are called {quoted(key)}")
                tensors[key] = self._tensor(key)
            elif metadata is None:
                metadata = self._metadata()
            else:
                self._fail(f"{METADATA_KEY} appears twice")
        self._skip_space()
        if self._peek():
            self._fail("bytes other than spaces follow its closing '}'")
        return list(tensors.values()), metadata or {}

    def _keys(self, where: str) -> Iterator[str]:
        """Yield the keys of the object whose '{' was just read; the caller reads each value."""
        self._skip_space()
        if self._peek() == b"}":
            self._at += 1
            return
        while True:
            self._skip_space()
            if self._peek() != b'"':
                self._fail(f"a name in double quotes is missing in {where}")
            key = self._string(_LONGEST_TOKEN, where)
            self._skip_space()
            if self._peek() != b":":
                self._fail(f"':' is missing after {quoted(key)}")
            self._at += 1
            self._skip_space()
            yield key
            if self._object_ends(where):
                return

    def _object_ends(self, where: str) -> bool:
        self._skip_space()
        mark = self._peek()
        if mark not in (b",", b"}"):
            self._fail(f"',' or '}}' is missing in {where}")
        self._at += 1
        return mark == b"}"

    def _metadata(self) -> dict[str, str]:
        if self._peek() != b"{":
            self._fail(f"{METADATA_KEY} must be an object of strings")
        self._at += 1
        metadata: dict[str, str] = {}
        for key in self._keys(METADATA_KEY):
            if self._peek() != b'"':
                self._fail(f"the value of {quoted(key)} in {METADATA_KEY} is not a string")
            if key in metadata:
                self._fail(f"{quoted(key)} appears twice in {METADATA_KEY}")
            metadata[key] = self._string(self._end, METADATA_KEY)
        return metadata

    def _tensor(self, name: str) -> Entry:
        if self._peek() != b"{":
            self._fail(f"the entry of tensor {quoted(name)} is not an object")
        self._at += 1
        dtype: str | None = None
        shape: list[int] | None = None
        offsets: list[int] | None = None
        ended = False
        while not ended:
            self._skip_space()
            self._fill()
            field = _FIELD.match(self._window, self._at)
            if field is None:
                self._fail(f"tensor {quoted(name)}: its keys must be dtype, shape and data_offsets")
            self._at = field.end()
            key = field[1]
            if key == b"dtype" and dtype is None:
                dtype = self._dtype(name)
            elif key == b"shape" and shape is None:
                shape = self._integers(name, "shape")
            elif key == b"data_offsets" and offsets is None:
                offsets = self._integers(name, "data_offsets")
            else:
                self._fail(f"tensor {quoted(name)}: {key.decode()} appears twice")
            ended = self._object_ends(f"the entry of tensor {quoted(name)}")
        if dtype is None or shape is None or offsets is None:
            self._fail(f"tensor {quoted(name)}: dtype, shape or data_offsets is missing")
        if len(offsets) != 2:
            self._fail(f"tensor {quoted(name)}: data_offsets must be two numbers")
        return Entry(name, dtype, tuple(shape), offsets[0], offsets[1])

    def _dtype(self, name: str) -> str:
        match = _DTYPE.match(self._window, self._at)
        if match is None:
            self._fail(f"tensor {quoted(name)}: dtype is not the name of a type")
        self._at = match.end()
        return match[1].decode()

    def _integers(self, name: str, key: str) -> list[int]:
        match = _INTEGERS.match(self._window, self._at)
        if match is None:
            self._fail(f"tensor {quoted(name)}: {key} must be a list of integers of at least 0")
        self._at = match.end()
        if match[1].count(b",") >= _MAX_DIMENSIONS:
            self._fail(f"tensor {quoted(name)}: {key} has more than {_MAX_DIMENSIONS} numbers")
        return [int(digits) for digits in match[1].split(b",")] if match[1] else []

    def _string(self, longest: int, where: str) -> str:
        """Read the string whose opening quote is next; at most ``longest`` bytes long."""
        self._at += 1
        start = self._position
        while self._peek() != b'"':
            self._fill()
            match = _TEXT.match(self._window, self._at)
            if match is None or not match[0]:
                self._fail(f"a string in {where} holds a wrong escape or character, or never ends")
            self._at = match.end()
            if self._position - start > longest:
                self._fail(f"a name of more than {longest:,} bytes in {where}")
        raw = self._file.read(start, self._position - start)
        self._at += 1
        return self._decoded(raw, start)

    def _decoded(self, raw: bytes, start: int) -> str:
        try:
            text = raw.decode()
            if b"\\" in raw:
                text = json.loads(f'"{text}"')
                text.encode()
        except UnicodeError:
            self._fail(f"the string that begins at byte {start:,} is not UTF-8")
        return text

    def _skip_space(self) -> None:
        while True:
            match = _SPACE.match(self._window, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._window) or not self._fill():
                return

    def _peek(self) -> bytes:
        if self._at == len(self._window):
            self._fill()
        return self._window[self._at : self._at + 1]

    def _fill(self) -> bool:
        """Have at least the longest token, or all that is left, in the window; say if it grew."""
        ahead = len(self._window) - self._at
        next_byte = self._window_start + len(self._window)
        if ahead >= _LONGEST_TOKEN or next_byte >= self._end:
            return False
        more = self._file.read(next_byte, min(_WINDOW, self._end - next_byte))
        self._window_start += self._at
        self._window = self._window[self._at :] + more
        self._at = 0
        return True

    @property
    def _position(self) -> int:
        """The cursor's byte in the file."""
        return self._window_start + self._at

    def _fail(self, cause: str) -> NoReturn:
        raise BadInput(
            f"{self._file.shown}: damaged safetensors header at byte {self._position:,}: {cause}"
        )
