"""Kernels are taken from numba's cache without what only compiling needs."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

MODULE = """
from embcompress.kernels.jit import inlined, kernel

@inlined
def half(x):
    return 0.5 * x

@kernel("float64(float64[::1])")
def halved(values):
    total = 0.0
    for i in range(len(values)):
        total += half(values[i])
    return total

@kernel("void(float64[::1])")
def double(values):
    for i in range(len(values)):
        values[i] *= 2.0
"""

CALL = """
import sys
import numpy as np
from summing import double, halved
print(halved(np.arange(5.0)), "scipy.linalg" in sys.modules)
"""


@pytest.fixture
def module(tmp_path):
    """A module of two kernels, and a cache of its own."""
    (tmp_path / "summing.py").write_text(MODULE)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    return {**os.environ, "PYTHONPATH": path, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}


def call(code, environment):
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.split()


def test_a_cached_kernel_needs_no_compiler(module):
    assert call(CALL, module)[0] == "5.0"  # compiles
    assert call(CALL, module) == ["5.0", "False"]


def test_a_kernel_is_compiled_after_one_that_was_cached(module):
    call(CALL, module)
    again = CALL + "\nvalues = np.arange(3.0); double(values); print(*values)"
    assert call(again, module) == ["5.0", "False", "0.0", "2.0", "4.0"]


def test_another_numba_loads_as_it_always_does(module):
    call(CALL, module)
    other = "import numba, numba.core.runtime\ndel numba.core.runtime.rtsys\n"
    assert call(other + CALL, module) == ["5.0", "True"]


def test_other_types_are_refused():
    from embcompress.kernels.extremes import extremes

    with pytest.raises(TypeError, match="No matching definition"):
        extremes(np.zeros((2, 3)), np.zeros(3, np.float32), np.zeros(3))
