"""Values from a file, which may be hostile: each is checked as it is taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.errors import BadInput

Array = NDArray[Any]
Json = Any
INNER = "inner."


class Config:
    """A codec's JSON from a file: every value is checked as it is taken."""

    def __init__(self, values: Json, where: str) -> None:
        if not isinstance(values, dict):
            raise BadInput(f"{where}: a codec's config is an object, not {values!r:.60}")
        self._values = dict(values)
        self.where = where

    def integer(self, key: str, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``.

        Raises:
            BadInput: Missing, of another type, or outside the range.
        """
        value = self._take(key)
        if type(value) is not int or not low <= value <= high:
            raise BadInput(f"{self.where}: {key} is {value!r:.60}, not from {low} to {high}")
        return value

    def integers(self, key: str, fewest: int, most: int, low: int, high: int) -> tuple[int, ...]:
        """A list of ``fewest`` to ``most`` whole numbers, each from ``low`` to ``high``.

        Raises:
            BadInput: Missing, of another type or length, or a number outside the range.
        """
        values = self._take(key)
        if (
            not isinstance(values, list)
            or not fewest <= len(values) <= most
            or not all(type(value) is int and low <= value <= high for value in values)
        ):
            raise BadInput(
                f"{self.where}: {key} is {values!r:.60}, not {fewest} to {most} numbers from {low}"
                f" to {high}"
            )
        return tuple(values)

    def choice(self, key: str, *choices: str) -> str:
        """One of some words.

        Raises:
            BadInput: Missing or another word.
        """
        value = self._take(key)
        if not isinstance(value, str) or value not in choices:
            raise BadInput(f"{self.where}: {key} is {value!r:.60}, not one of {choices}")
        return value

    def says(self, key: str, word: str) -> bool:
        """Whether a value is this word; then it is taken."""
        if self._values.get(key) != word:
            return False
        self._take(key)
        return True

    def inner(self, key: str) -> Json:
        """A nested JSON value, not yet checked.

        Raises:
            BadInput: Missing.
        """
        return self._take(key)

    def end(self) -> None:
        """Refuse what was not taken.

        Raises:
            BadInput: A key that the codec does not know.
        """
        if self._values:
            raise BadInput(f"{self.where}: unknown config {sorted(self._values)!r:.80}")

    def _take(self, key: str) -> Json:
        if key not in self._values:
            raise BadInput(f"{self.where}: config lacks '{key}'")
        return self._values.pop(key)


class Shared:
    """Arrays from a file that all rows of a segment need: each is checked as it is taken."""

    def __init__(self, arrays: Mapping[str, Array], where: str) -> None:
        self._arrays = arrays
        self.where = where

    def array(self, name: str, dtype: str, shape: tuple[int, ...]) -> Array:
        """An array of exactly this dtype and shape, finite, copied and C-contiguous.

        Raises:
            BadInput: Missing, of another dtype or shape, or holding NaN or infinity.
        """
        array = self._arrays.get(name)
        if array is None:
            raise BadInput(f"{self.where}: the shared array '{name}' is missing")
        if array.dtype != np.dtype(dtype) or array.shape != shape:
            raise BadInput(
                f"{self.where}: '{name}' is {array.dtype} {list(array.shape)},"
                f" not {np.dtype(dtype)} {list(shape)}"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise BadInput(f"{self.where}: '{name}' holds a NaN or an infinity")
        return np.ascontiguousarray(array)

    def bytes(self, name: str) -> NDArray[np.uint8]:
        """An array of bytes of any length.

        Raises:
            BadInput: Missing, or of another kind.
        """
        array = self._arrays.get(name)
        if array is None:
            raise BadInput(f"{self.where}: the shared array '{name}' is missing")
        if array.dtype != np.uint8 or array.ndim != 1:
            raise BadInput(f"{self.where}: '{name}' is no array of bytes")
        return np.ascontiguousarray(array)

    def inner(self) -> Shared:
        """The arrays of the inner codec."""
        inner = {k[len(INNER) :]: v for k, v in self._arrays.items() if k.startswith(INNER)}
        return Shared(inner, self.where)


class Packing:
    """Small arrays one after the other in a shared array of bytes: each is checked as it is taken.

    One tensor costs about a hundred bytes of the file's header.
    """

    def __init__(self, shared: Shared, name: str) -> None:
        """Take the bytes.

        Raises:
            BadInput: They are missing, or no bytes.
        """
        self.where = f"{shared.where}: '{name}'"
        self._left = shared.bytes(name)

    def take(self, dtype: str, count: int) -> Array:
        """The next array, finite.

        Raises:
            BadInput: Too few bytes are left, or one of the numbers is NaN or infinite.
        """
        size = np.dtype(dtype).itemsize * count
        if size > len(self._left):
            raise BadInput(f"{self.where} is too short")
        own, self._left = self._left[:size], self._left[size:]
        array = own.copy().view(dtype)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise BadInput(f"{self.where} holds a NaN or an infinity")
        return array

    def end(self) -> None:
        """Refuse what was not taken.

        Raises:
            BadInput: Bytes are left over.
        """
        if len(self._left):
            raise BadInput(f"{self.where} has {len(self._left)} bytes too many")
