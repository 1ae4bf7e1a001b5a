"""Compression of an array in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embcompress.artifact.layout import Plan
from embcompress.artifact.memory import MemoryStore
from embcompress.artifact.table import CompressedTable
from embcompress.errors import UsageError
from embcompress.methods.base import Method
from embcompress.pipeline.accounting import Accounting
from embcompress.pipeline.context import RunContext
from embcompress.pipeline.encode import encode_table, fit_tables
from embcompress.pipeline.run import check_taken, group_table, segment_methods
from embcompress.pipeline.settings import Settings
from embcompress.progress import Progress
from embcompress.report.metrics import Comparison
from embcompress.tables.frequencies import check_frequencies
from embcompress.tables.gradients import gradients_of
from embcompress.tables.memory import ArrayTable
from embcompress.threads import available
from embcompress.version import __version__


def compress(
    array: NDArray[Any],
    method: Method,
    *,
    name: str = "table",
    frequencies: ArrayLike | None = None,
    fields: dict[str, tuple[int, int]] | None = None,
    gradients: ArrayLike | None = None,
    settings: Settings | None = None,
) -> CompressedTable:
    """Compress an array in memory.

    Args:
        array: float16, bfloat16, float32 or float64 [N, D].
        method: What to do, such as ``embcompress.methods.Quantize(bits=4)``.
        name: The table's name.
        frequencies: [N], how often each row is used; weights the fit.
        fields: Row ranges [start, stop) by field name; default one field.
        gradients: [fields, D], how much the loss feels each column of each field, or [N, D], the
            gradients of all rows; for methods such as ``Sseds``.
        settings: Hot rows, fields, seed, threads.

    Returns:
        The compressed table, the same object as ``embcompress.open(path)[name]``.

    Raises:
        UsageError: Options, frequencies, fields or gradients that do not fit the array.
        BadInput: The array is no table, or holds NaN or infinity.
    """
    if not isinstance(method, Method):
        raise UsageError(f"method is a Method such as Quantize(bits=4), not {method!r:.60}")
    settings = settings or Settings()
    table = ArrayTable(array, name)
    weights = None
    if frequencies is not None:
        weights = check_frequencies(np.asarray(frequencies), table.shape[0], name)
    felt = None
    if gradients is not None:
        check_taken([method])
        felt = gradients_of(np.asarray(gradients), name, table.shape, len(fields or ()) or 1)
    threads = settings.threads or available()
    context = RunContext(settings.seed, threads, 2**62, 2**62, Progress())
    grouped = group_table(table, method, weights, fields, settings, felt)
    methods = segment_methods(grouped, method, settings)
    context.accounting = Accounting(
        {name: grouped},
        {name: method},
        {name: methods},
        lambda forms: Plan(forms, (), {}, __version__),
    )
    fitted = fit_tables({name: grouped}, {name: method}, {name: methods}, context)[name]
    store = MemoryStore(fitted.form)
    comparison = Comparison(
        *table.shape, frequencies=weights, seed=settings.seed, memory=2**62, full=False
    )
    encode_table(fitted, store, comparison, context)
    store.finish()
    return CompressedTable(fitted.form, store, threads)
