"""A folder that model2vec loads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from embcompress.errors import BadInput, UsageError
from embcompress.export.base import Job, Target
from embcompress.options import Option
from embcompress.tables.folder import stays_inside


@dataclass(frozen=True, kw_only=True)
class Model2vec(Target):
    """A static model: the tokenizer, and the vector of each token.

    model2vec loads it, and sentence-transformers as a StaticEmbedding. A table of ``saec`` keeps
    its codebook and codes: ``embeddings`` [K, D] and the tensor ``mapping`` [N], in model2vec's
    words a quantized vocabulary. Any other table is written dense.
    """

    name = "model2vec"
    about = "a folder with tokenizer: a mapping of saec's codes, or dense vectors"
    takes = "every table; tables of saec keep their size"
    example = "words.saec.safetensors --to model2vec --tokenizer tokenizer.json -o static-model"
    folder = True

    tokenizer: Annotated[
        str | None,
        Option(
            "The tokenizer.json of the model that the table is of: its ids are the rows. By default"
            " that of the artifact's folder."
        ),
    ] = None
    normalize: Annotated[
        bool, Option("Whether the model scales its sentence vectors to length 1.")
    ] = False

    def check(self, job: Job) -> None:
        from embcompress.export.static_model import count_tokens

        path, rows = self._tokenizer(job), job.only.shape[0]
        count = count_tokens(path)
        if count != rows:
            raise BadInput(f"{path}: has {count:,} tokens, the table {rows:,} rows")

    def write(self, job: Job) -> None:
        from embcompress.export.static_model import write_model

        write_model(job, self._tokenizer(job), normalize=self.normalize)

    def _tokenizer(self, job: Job) -> Path:
        if self.tokenizer is not None:
            return Path(self.tokenizer)
        files = job.artifact.files.files
        beside = None if files is None else files.folder / "tokenizer.json"
        if beside is None or not beside.is_file() or not stays_inside(beside.parent, beside):
            raise UsageError("--to model2vec wants --tokenizer, the tokenizer.json of the model")
        return beside
