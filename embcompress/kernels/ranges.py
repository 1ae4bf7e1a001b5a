"""Row-wise uniform quantization: what is stored for a row's range, its codes, the plain range.

Sixteen rows go side by side, one lane each, so a row's result never depends on its neighbours.
Rows far from ordinary size are searched multiplied by a power of two, which is exact.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from embcompress.kernels.jit import inlined
from embcompress.kernels.lanes import (
    Lanes,
    equal,
    lower,
    magnitude,
    rint,
    select,
    splat,
    to_half,
    upper,
)

Float32 = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint8]

LARGE, SMALL = 2.0**50, 2.0**-50
DOWN, UP = 2.0**-100, 2.0**100
LARGEST = 3.4028e38  # float32's largest number, less what decoding may round up
TINIEST = 2.0**-149


@inlined
def zoom(size: Lanes, half: bool) -> Lanes:
    """The power of two that brings rows of this largest magnitude near ordinary size."""
    factor = splat(1.0)
    if not half:
        factor = select(splat(LARGE) < size, splat(DOWN), factor)
        factor = select(size < splat(SMALL), splat(UP), factor)
    return factor


@inlined
def stored_bias(bias: Lanes, factor: Lanes, half: bool) -> Lanes:
    """The nearest bias that can be stored; `bias` is in zoomed units, the result is not."""
    if half:
        result = to_half(bias)
    else:
        result = lower(upper(bias / factor, splat(-LARGEST)), splat(LARGEST))
    return result


@inlined
def stored_scale(scale: Lanes, bias: Lanes, top: Lanes, factor: Lanes, half: bool) -> Lanes:
    """The nearest scale that can be stored beside `bias`; zero becomes one, as in torch."""
    zero = splat(0.0)
    if half:
        result = to_half(scale)
    else:
        room = upper((splat(LARGEST) - upper(bias, zero)) / top, zero)
        result = lower(upper(scale / factor, splat(TINIEST)), room)
        result = select(equal(scale, zero), zero, result)
    return select(equal(result, zero), splat(1.0), result)


@inlined
def nearest(values: Lanes, bias: Lanes, per_step: Lanes, top: Lanes) -> Lanes:
    """Codes of sixteen values: the steps above the bias, rounded, held between 0 and `top`."""
    return upper(splat(0.0), lower(rint((values - bias) * per_step), top))


@inlined
def inverse(scale: Lanes) -> Lanes:
    """One over the scale, or one where that is no finite number."""
    quotient = splat(1.0) / scale
    return select(magnitude(quotient) < splat(np.inf), quotient, splat(1.0))


