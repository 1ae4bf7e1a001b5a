"""Word vectors in word2vec's formats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from embcompress.errors import UsageError
from embcompress.export.base import Job, Target
from embcompress.options import Option

_SHOWN = 60


@dataclass(frozen=True, kw_only=True)
class Word2vec(Target):
    """Words and restored rows, as word2vec, fastText (``.vec``) and gensim read them.

    ``.bin`` is the binary form; ``.txt`` and ``.vec`` are text with nine digits, which give every
    float32 back. Words are those that travel with the table (``convert`` keeps them, a model's
    folder has a ``vocab.txt``), else its row numbers.
    """

    name = "word2vec"
    about = "words and restored rows: .txt or .vec as text, .bin binary"
    takes = "every table"
    example = "glove.q4.safetensors --to word2vec -o glove.vec"
    suffixes = (".txt", ".vec", ".bin")

    words: Annotated[
        str | None,
        Option(
            "A text file with the word of each row, one a line; the artifact's keys by default, or"
            " row numbers."
        ),
    ] = None

    def check(self, job: Job) -> None:
        self._words(job)

    def write(self, job: Job) -> None:
        from embcompress.artifact.atomic import AtomicFile
        from embcompress.tables.base import TILE
        from embcompress.threads import ordered

        table, words = job.only, self._words(job)
        n, d = table.shape
        binary = job.output.suffix == ".bin"
        line = b" ".join([b"%.9g"] * d)

        def one(start: int) -> bytes:
            rows = table.read(start, min(start + TILE, n))
            some = words[start : start + TILE]
            if binary:
                raw = [row.tobytes() for row in rows]
            else:
                raw = [line % tuple(row) for row in rows.tolist()]
            return b"".join(b"%b %b\n" % pair for pair in zip(some, raw, strict=True))

        with AtomicFile(job.output) as file, job.progress.stage("exporting", n) as stage:
            header = b"%d %d\n" % (n, d)
            file.write_at(0, header)
            at = len(header)
            for text in ordered(one, range(0, n, TILE), job.threads):
                file.write_at(at, text)
                at += len(text)
                stage.advance(TILE)
            file.commit()

    def _words(self, job: Job) -> list[bytes]:
        """The words of the table's rows.

        Raises:
            UsageError: A word that the format has no place for.
            BadInput: Too many or too few words.
        """
        from embcompress.export.words import own_words, read_words

        rows = job.only.shape[0]
        if self.words is not None:
            words, where = read_words(Path(self.words), rows), self.words
        else:
            words, where = own_words(job), str(job.artifact.path)
        for row, word in enumerate(words):
            if not word or b" " in word or b"\n" in word:
                shown = repr(word.decode(errors="backslashreplace")[:_SHOWN])
                raise UsageError(
                    f"{where}: the word of row {row}, {shown}, is empty or has a space, which ends"
                    " a word in word2vec's formats; give others with --words"
                )
        return words
