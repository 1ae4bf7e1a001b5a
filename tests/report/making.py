"""Tables to compare, and reports about them."""

import numpy as np

from embcompress.report.metrics import Comparison
from embcompress.report.model import Report, TableErrors, TableReport

MEMORY = 500_000_000


def rounded(table, bits):
    """Each row rounded to 2^bits levels between its extremes, float32."""
    low = table.min(axis=1, keepdims=True)
    scale = (table.max(axis=1, keepdims=True) - low) / np.float32(2**bits - 1)
    scale[scale == 0] = 1
    return (np.rint((table - low) / scale) * scale + low).astype(np.float32)


def compared(original, decoded, tile=4096, order=None, **options):
    """A comparison that has taken every tile."""
    options = {"frequencies": None, "seed": 0, "memory": MEMORY} | options
    comparison = Comparison(*original.shape, **options)
    starts = np.arange(0, len(original), tile)
    for i in range(len(starts)) if order is None else order(len(starts)):
        part = slice(starts[i], starts[i] + tile)
        comparison.add(int(starts[i]), original[part], decoded[part])
    return comparison


def errors(**values):
    """Errors of 100 rows with a relative error of a tenth, changed by the values."""
    base = {
        "rows": 100,
        "nonfinite_rows": 0,
        "squared_error": 8.0,
        "squared_norm": 800.0,
        "relative_error": 0.1,
        "mse": 0.01,
        "max_abs_error": 0.5,
        "max_abs_error_row": 7,
        "cosine_mean": 0.995,
        "cosine_p1": 0.98,
        "cosine_lowest": 0.9,
        "cosine_lowest_row": 12,
        "norm_ratio": 1.001,
        "recall": 0.8,
        "recall_low": 0.78,
        "recall_high": 0.82,
        "recall_k": 10,
        "recall_queries": 50,
        "recall_rows": 100,
        "product_correlation": 0.99,
        "product_error": 0.12,
        "product_pairs": 4900,
        "limit_relative_error": 0.05,
        "decibels_above_limit": 6.02,
        "limit_rows": 100,
    }
    return TableErrors(**base | values)


def table(name="emb.weight", **values):
    """100 x 64 weights in 4 bits."""
    base = {
        "shape": (100, 64),
        "dtype": "F32",
        "method": "quantize",
        "source_bytes": 25_600,
        "parts": {"codes": 3200, "scale": 200, "bias": 200, "header": 600},
        "errors": errors(),
        "errors_from": "source",
    }
    return TableReport(name=name, **base | values)


def report(*tables, **values):
    """A report of an artifact that holds the tables and nothing else."""
    tables = list(tables) or [table()]
    base = {
        "artifact": "emb.q4.safetensors",
        "source": "emb.npy",
        "file_bytes": sum(t.artifact_bytes for t in tables),
        "versions": {"embcompress": "0.1.0"},
    }
    return Report(tables=tables, **base | values)
