"""Options of targets that fuse a scale and a bias into each row."""

from __future__ import annotations

from typing import Annotated, Literal

from embcompress.options import Option

Side = Literal["head", "tail", "split"]
ScaleSide = Annotated[
    Side | None,
    Option(
        "Where scale and bias stand: 'tail' of a row for torch's quantized bags and FBGEMM's"
        " operators, 'head' for FBGEMM's inference and TorchRec, 'split' into tensors of their own"
        " for TorchRec. Has no default."
    ),
]
Alignment = Annotated[
    int | None,
    Option(
        "A row is filled up to a multiple of so many bytes; 1, for torchrec 16.", min=1, max=256
    ),
]
TAKES = "quantize at 8, 4 or 2 bits with one scale a row and whole bytes of codes"
