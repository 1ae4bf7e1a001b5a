"""Indexes that faiss reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from embcompress.export.base import Job, Target
from embcompress.options import Option


@dataclass(frozen=True, kw_only=True)
class Faiss(Target):
    """One index with the table's rows, in their order, written by faiss itself.

    ``pq`` gives an IndexPQ, behind an IndexPreTransform when it is rotated; ``aq`` with one range
    an IndexResidualQuantizer; ``cast`` an IndexScalarQuantizer (fp16, bf16) or IndexFlat (fp32);
    ``binarize`` an IndexBinaryFlat of the signs, packed as ``numpy.packbits`` does, columns filled
    up to a multiple of 8. ``reconstruct`` gives our rows: bit for bit, but behind a rotation up to
    float32 rounding, and of signs without their scale.
    """

    name = "faiss"
    about = "an index: IndexPQ, IndexScalarQuantizer, IndexBinaryFlat, …"
    takes = (
        "pq with equally wide subquantizers, mgqe of one field, aq with one range, cast to fp16,"
        " bf16 or fp32, and binarize without rotation"
    )
    example = "glove.pq.safetensors --to faiss --metric dot -o glove.index"

    metric: Annotated[
        Literal["l2", "dot"] | None,
        Option(
            "What the index compares by; l2 without it. Signs are compared by Hamming distance."
        ),
    ] = None

    def check(self, job: Job) -> None:
        from embcompress.export.indexes import check_codec

        check_codec(job.only, partial(self.refuse, job.only))

    def write(self, job: Job) -> None:
        from embcompress.export.indexes import write_index

        write_index(job, dot=self.metric == "dot")
