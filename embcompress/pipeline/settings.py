"""Options that every method shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from embcompress.options import Option, validate


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a run groups rows, and what it may use."""

    keep_hot: Annotated[
        float | None,
        Option(
            "Share of the rows, the most frequent ones, kept nearly exact (HashGNN's and Yang et"
            " al.'s tiers); needs --frequencies.",
            min=0,
            max=1,
        ),
    ] = None
    hot_as: Annotated[
        Literal["fp32", "fp16", "int8"], Option("How --keep-hot stores its rows.")
    ] = "fp16"
    per_field: Annotated[bool, Option("Fit every field of --fields apart.")] = False
    nonfinite: Annotated[
        Literal["error", "zero"], Option("What to do with NaN and infinity in the source.")
    ] = "error"
    seed: Annotated[int, Option("Seed of every random choice.", min=0, max=2**32 - 1)] = 0
    threads: Annotated[
        int | None, Option("Cores to use; all that the process may use by default.", min=1)
    ] = None
    memory: Annotated[
        str | None, Option("Memory to stay below, such as 600MB; 800MB by default.")
    ] = None

    def __post_init__(self) -> None:
        validate(self, "embcompress")
