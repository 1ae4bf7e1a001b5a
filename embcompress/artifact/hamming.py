"""Hamming distance on the signs that a table stores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact.form import Form
from embcompress.codecs.base import Codec, Parts
from embcompress.codecs.binary import Binary
from embcompress.codecs.projected import Projected
from embcompress.errors import UsageError

_KEPT = 256


@dataclass(frozen=True)
class Signs:
    """How rows become signs: offsets and bases one after the other, then the sign.

    Args:
        steps: Outermost first.
        dim: Signs of a row.
    """

    steps: tuple[Projected, ...]
    dim: int

    @classmethod
    def of(cls, codec: Codec) -> Signs | None:
        """Those of a codec, or None where it stores no signs."""
        steps = []
        while isinstance(codec, Projected):
            steps.append(codec)
            codec = codec.inner
        return cls(tuple(steps), codec.dim) if isinstance(codec, Binary) else None

    def words(self, rows: NDArray[np.float32]) -> NDArray[np.uint64]:
        """Signs of float rows; 0 counts as positive.

        Args:
            rows: float32 [q, D].

        Returns:
            uint64 [q, ceil(dim / 64)].
        """
        from embcompress.kernels.hamming import sign_words

        for step in self.steps:
            rows = rows - step.offset
            if step.basis is not None:
                wide = rows.astype(np.float64) @ step.basis.T.astype(np.float64)
                rows = wide.astype(np.float32)
        return sign_words(rows >= 0)


class Hamming:
    """Hamming distances of queries to rows of a binarized table.

    Rows that the table stores otherwise, such as hot ones, count by the signs of the first
    binarized segment.
    """

    def __init__(self, form: Form, queries: NDArray[np.float32]) -> None:
        """Prepare queries.

        Args:
            form: The table.
            queries: float32 [q, D].

        Raises:
            UsageError: The table stores no signs.
        """
        found = (Signs.of(segment.codec) for segment in form.segments)
        first = next((signs for signs in found if signs is not None), None)
        if first is None:
            raise UsageError(
                f"table '{form.name}' stores no signs; the metric hamming is for binarized tables"
            )
        self._first = first
        self._queries = queries
        self._words: dict[int, NDArray[np.uint64]] = {}

    def distances(
        self, codec: Codec, parts: Parts, rows: NDArray[np.int64] | None
    ) -> NDArray[np.float32]:
        """Differing signs of queries and encoded rows.

        Args:
            codec: That of the rows.
            parts: Encoded rows.
            rows: As the codec is told of them; None for all of ``parts`` in order.

        Returns:
            float32 [q, b], whole numbers.
        """
        from embcompress.kernels.hamming import sign_distances

        signs = Signs.of(codec)
        if signs is None:
            rows = np.arange(len(parts.records), dtype=np.int64) if rows is None else rows
            decoded = np.empty((len(rows), codec.dim), np.float32)
            if decoded.size:
                codec.decode(parts, rows, decoded)
            signs, rows = self._first, None
            parts = Parts(signs.words(decoded).view(np.uint8))
        words = self._words_for(signs)
        return sign_distances(parts.records, parts.at, words, signs.dim, rows)

    def _words_for(self, signs: Signs) -> NDArray[np.uint64]:
        key = id(signs.steps[0]) if signs.steps else 0
        words = self._words.get(key)
        if words is None:
            if len(self._words) >= _KEPT:
                self._words.clear()
            words = self._words[key] = signs.words(self._queries)
        return words
