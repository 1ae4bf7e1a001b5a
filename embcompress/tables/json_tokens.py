"""JSON read token by token: what is wanted is taken, the rest is skipped, nothing is built of it.

A general parser would first build whatever a file describes: 2 GB for 100 MB of empty lists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NoReturn

from embcompress.errors import BadInput
from embcompress.tables.quoting import quoted

_STRING = re.compile(r'"((?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+)"')
_SPACE = re.compile(r"[ \t\n\r]*+")
_WORD = re.compile(r"-?[0-9][0-9.eE+-]{0,40}|true|false|null")
_WHOLE = re.compile(r"(?:0|[1-9][0-9]{0,18})(?![0-9.eE])")


class Tokens:
    """A cursor over a JSON text."""

    def __init__(self, text: str, where: str) -> None:
        """Begin before the first token.

        Args:
            text: The whole document.
            where: Names it in errors.
        """
        self._text = text
        self._where = where
        self._at = 0

    def keys(self, what: str) -> Iterator[str]:
        """Read an object; the caller reads or skips the value after each key it is given.

        Args:
            what: Names the object in errors.

        Raises:
            BadInput: The next value is no object, or its syntax is wrong.
        """
        if not self._take("{"):
            self.fail(f"{what} is not an object")
        if self._take("}"):
            return
        while True:
            key = self._string()
            if key is None:
                self.fail(f"a name in double quotes is missing in {what}")
            if not self._take(":"):
                self.fail(f"':' is missing after {quoted(key)}")
            yield key
            if self._take("}"):
                return
            if not self._take(","):
                self.fail(f"',' or '}}' is missing in {what}")

    def string(self, what: str) -> str:
        """Read a string value.

        Args:
            what: Names the value in errors.

        Raises:
            BadInput: The next value is no string.
        """
        found = self._string()
        if found is None:
            self.fail(f"{what} is not a string")
        return found

    def integers(self, what: str) -> list[int]:
        """Read a list of at most 64 whole numbers from 0.

        Args:
            what: Names the value in errors.

        Raises:
            BadInput: The next value is no such list.
        """
        numbers: list[int] = []
        opened = self._take("[")
        while opened and not self._take("]"):
            if (numbers and not self._take(",")) or len(numbers) == 64:
                opened = False
                break
            number = self.integer()
            if number is None:
                opened = False
                break
            numbers.append(number)
        if not opened:
            self.fail(f"{what} is not a list of integers of at least 0")
        return numbers

    def integer(self) -> int | None:
        """Read a whole number from 0, or read nothing and give None."""
        self._skip_space()
        found = _WHOLE.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        return int(found[0])

    def skip(self) -> None:
        """Pass over a value of any kind and depth.

        Raises:
            BadInput: Its syntax is wrong.
        """
        depth = 0
        while True:
            self._skip_space()
            mark = self._text[self._at : self._at + 1]
            if mark and mark in "[{":
                self._at += 1
                depth += 1
            elif mark and mark in "]}" and depth:
                self._at += 1
                depth -= 1
            elif mark and mark in ",:" and depth:
                self._at += 1
            elif mark == '"':
                self._string()
            else:
                word = _WORD.match(self._text, self._at)
                if word is None:
                    self.fail("a value is missing")
                self._at = word.end()
            if depth == 0:
                return

    def end(self) -> None:
        """Check that nothing follows.

        Raises:
            BadInput: Something does.
        """
        self._skip_space()
        if self._at < len(self._text):
            self.fail("something follows its end")

    def fail(self, cause: str) -> NoReturn:
        """Refuse the document at the cursor."""
        raise BadInput(f"{self._where}: damaged JSON at character {self._at:,}: {cause}")

    def _take(self, mark: str) -> bool:
        self._skip_space()
        if self._text.startswith(mark, self._at):
            self._at += 1
            return True
        return False

    def _string(self) -> str | None:
        self._skip_space()
        if not self._text.startswith('"', self._at):
            return None
        found = _STRING.match(self._text, self._at)
        if found is None:
            self.fail("a string holds a wrong escape or character, or never ends")
        self._at = found.end()
        raw = found[1]
        if "\\" not in raw:
            return raw
        text: str = json.loads(f'"{raw}"')
        if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
            self.fail("a string holds half a surrogate pair")
        return text

    def _skip_space(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at
