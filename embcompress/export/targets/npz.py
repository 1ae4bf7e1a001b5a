"""Dense tables in a numpy archive."""

from __future__ import annotations

from dataclasses import dataclass

from embcompress.export.base import Job, Target


@dataclass(frozen=True, kw_only=True)
class Npz(Target):
    """The tables restored in the source's dtypes, and its other tensors, for ``numpy.load``.

    numpy has no bf16: such tensors are written as float32, which holds their values.
    """

    name = "npz"
    about = "the restored tables in the source's dtypes, and its other tensors"
    takes = "every table"
    example = "glove.q4.safetensors --to npz -o glove.npz"
    suffixes = (".npz",)

    def check(self, job: Job) -> None:
        from embcompress.export.archive import check_dtypes

        check_dtypes(job)

    def write(self, job: Job) -> None:
        from embcompress.export.archive import write_archive

        write_archive(job)
