"""A folder that model2vec loads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from embcompress.errors import BadInput, UsageError
from embcompress.export.base import Job, Target
from embcompress.options import Option


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
        Option("The tokenizer.json of the model that the table is of: its ids are the rows."),
    ] = None
    normalize: Annotated[
        bool, Option("Whether the model scales its sentence vectors to length 1.")
    ] = False

    def preflight(self) -> None:
        if self.tokenizer is None:
            raise UsageError("--to model2vec wants --tokenizer, the tokenizer.json of the model")

    def check(self, job: Job) -> None:
        from embcompress.export.static_model import count_tokens

        path, rows = Path(self.tokenizer or ""), job.only.shape[0]
        count = count_tokens(path)
        if count != rows:
            raise BadInput(f"{path}: has {count:,} tokens, the table {rows:,} rows")

    def write(self, job: Job) -> None:
        from embcompress.export.static_model import write_model

        write_model(job, Path(self.tokenizer or ""), normalize=self.normalize)
