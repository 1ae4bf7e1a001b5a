"""How much a trained model's loss feels each column of each feature field."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors.numpy import save_file

from embcompress.errors import BadInput, UsageError
from embcompress.tables.frequencies import check_frequencies
from embcompress.tables.quoting import quoted

Ranges = Mapping[str, tuple[int, int]]
FieldsOf = Ranges | Sequence[int]


def collect_saliency(
    model: torch.nn.Module,
    fields: Mapping[str, FieldsOf] | Sequence[str],
    *,
    fill: Literal["mean", "zero"] = "mean",
    kind: Literal["abs", "square"] = "abs",
    frequencies: Mapping[str, ArrayLike] | None = None,
) -> Saliency:
    """Collect the saliency of columns of fields over batches, for ``embcompress sseds --grads``.

    For every batch, g_ij = Σ over rows n of field i of (E[n, j] − fill_ij)·∂L/∂E[n, j]: the
    gradient of the loss by a mask on column j of field i. Summed over batches as |g| or g²; the
    plain sum would vanish at a trained optimum.

    Args:
        model: Trained; its weights are not changed. All its gradients are cleared by every step.
        fields: The tables, by the names of their parameters as in ``model.named_parameters()``,
            each with its fields: sizes in rows, first rows (beginning with 0), or ranges
            (start, stop) by field name. A list of names says that each table is one field.
        fill: What the columns that are dropped will hold: the mean of their field, or zero.
        kind: "abs" or "square" (the diagonal of the empirical Fisher matrix, by batches).
        frequencies: How often each row is used, by table name, [n]; weights the means, as
            ``--frequencies`` does.

    Returns:
        A context manager: call its ``step()`` after every ``backward()``, and ``save(file)``.

    Raises:
        UsageError: An unknown parameter (the nearest is named), one that is frozen or no matrix of
            floats, or fields that do not cover its rows once.

    Source: Qu et al. 2022, Single-shot embedding dimension search in recommender system (SSEDS).
    """
    for name, value, known in (("fill", fill, ("mean", "zero")), ("kind", kind, ("abs", "square"))):
        if value not in known:
            raise UsageError(f"collect_saliency: {name} is {' or '.join(known)}, not {value!r:.60}")
    if not isinstance(fields, Mapping):
        names = [fields] if isinstance(fields, str) else fields
        fields = dict.fromkeys(names, ())
    if not fields:
        raise UsageError("collect_saliency: fields names no table")
    parameters = dict(model.named_parameters())
    tables = {
        name: _Table.of(name, parameters, given, fill, (frequencies or {}).get(name))
        for name, given in fields.items()
    }
    return Saliency(model, tables, fill, kind)


class Saliency:
    """Sums the saliency of batches; made by `collect_saliency`."""

    def __init__(
        self, model: torch.nn.Module, tables: Mapping[str, _Table], fill: str, kind: str
    ) -> None:
        self._model = model
        self._tables = tables
        self._fill = fill
        self._kind = kind
        self._batches = 0

    def __enter__(self) -> Self:
        """Clear the gradients of the model."""
        self._model.zero_grad(set_to_none=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Clear the gradients of the model."""
        self._model.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Take the gradients of one batch, after ``backward()``, and clear those of the model.

        Raises:
            UsageError: No table has a gradient.
            BadInput: A gradient is not finite.
        """
        number = self._batches
        found = {name: table.gradient(number) for name, table in self._tables.items()}
        if all(values is None for values in found.values()):
            raise UsageError(
                "collect_saliency: no table has a gradient; call step() after backward() and before"
                " zero_grad()"
            )
        for name, values in found.items():
            if values is not None:
                self._tables[name].add(values.abs() if self._kind == "abs" else values.square())
        self._batches += 1
        self._model.zero_grad(set_to_none=True)

    @property
    def values(self) -> dict[str, NDArray[np.float64]]:
        """What was summed, float64 [fields, D] by table."""
        return {name: table.total.numpy().copy() for name, table in self._tables.items()}

    def save(self, file: str | os.PathLike[str]) -> None:
        """Write a safetensors file for ``--grads``, which records fill, kind, batches and fields.

        Raises:
            UsageError: There was no batch, or a table had no gradient in any of them.
        """
        if not self._batches:
            raise UsageError("collect_saliency: no batch yet; call step() after every backward()")
        silent = [name for name, table in self._tables.items() if not table.felt]
        if silent:
            raise UsageError(
                f"collect_saliency: {quoted(silent[0])} had no gradient in any batch; the loss does"
                " not depend on it"
            )
        metadata = {
            "fill": self._fill,
            "kind": self._kind,
            "batches": str(self._batches),
            "fields": json.dumps({name: table.sizes for name, table in self._tables.items()}),
        }
        save_file(self.values, os.fspath(file), metadata)


class _Table:
    """One parameter: its fields, what dropped columns will hold, and the sums, on the CPU."""

    def __init__(
        self, name: str, weight: torch.Tensor, stops: list[int], fill: torch.Tensor
    ) -> None:
        self.name = name
        self.weight = weight
        self.stops = torch.tensor(stops)
        self.sizes = np.diff([0, *stops]).tolist()
        self.fill = fill
        self.total = torch.zeros(fill.shape, dtype=torch.float64)
        self.felt = False

    @classmethod
    def of(
        cls,
        name: str,
        parameters: Mapping[str, torch.Tensor],
        given: FieldsOf,
        fill: str,
        frequencies: ArrayLike | None,
    ) -> _Table:
        weight = parameters.get(name)
        if weight is None:
            close = difflib.get_close_matches(name, parameters, n=1, cutoff=0)
            hint = f"; did you mean {quoted(close[0])}?" if close else ""
            raise UsageError(f"collect_saliency: the model has no parameter {quoted(name)}{hint}")
        if weight.dim() != 2 or not weight.is_floating_point():
            raise UsageError(
                f"collect_saliency: {quoted(name)} is {weight.dtype} {list(weight.shape)}; a table"
                " is a matrix of floats"
            )
        if not weight.requires_grad:
            raise UsageError(
                f"collect_saliency: {quoted(name)} is frozen; set requires_grad while collecting"
            )
        stops = _stops(name, given, len(weight))
        values = torch.zeros((len(stops), weight.shape[1]), dtype=torch.float64)
        if fill == "mean":
            weights = None
            if frequencies is not None:
                weights = check_frequencies(np.asarray(frequencies), len(weight), name)
            values = _means(weight.detach(), stops, weights)
        return cls(name, weight, stops, values)

    def gradient(self, batch: int) -> torch.Tensor | None:
        """∂L/∂M of a batch, float64 [fields, D]; None without a gradient.

        Raises:
            BadInput: It is not finite.
        """
        gradient = self.weight.grad
        if gradient is None:
            return None
        if gradient.is_sparse:
            gradient = gradient.coalesce()
            rows, values = gradient.indices()[0], gradient.values()
        else:
            rows = torch.nonzero(gradient.ne(0).any(dim=1)).squeeze(1)
            values = gradient[rows]
        weights = self.weight.detach()[rows].cpu().double()
        fields = torch.searchsorted(self.stops, rows.cpu(), right=True)
        products = (weights - self.fill[fields]) * values.cpu().double()
        found = torch.zeros_like(self.total).index_add_(0, fields, products)
        if not torch.isfinite(found).all():
            raise BadInput(f"gradient of {quoted(self.name)}: not finite in batch {batch}")
        return found

    def add(self, values: torch.Tensor) -> None:
        """Add the saliency of a batch, float64 [fields, D]."""
        self.total += values
        self.felt = True


def _means(
    weight: torch.Tensor, stops: list[int], frequencies: NDArray[np.float64] | None
) -> torch.Tensor:
    """Means of fields, float64 [fields, D], weighted by frequencies unless a field has none."""
    means = []
    for start, stop in zip([0, *stops], stops, strict=False):
        rows = weight[start:stop].cpu().double()
        own = None if frequencies is None else frequencies[start:stop]
        if own is not None and own.any():
            means.append(torch.from_numpy(own / own.sum()) @ rows)
        else:
            means.append(rows.mean(dim=0))
    return torch.stack(means)


def _stops(name: str, given: FieldsOf, rows: int) -> list[int]:
    """Where fields end, ascending.

    Raises:
        UsageError: They do not cover the rows once.
    """
    if isinstance(given, Mapping):
        ranges = sorted((int(start), int(stop)) for start, stop in given.values())
    else:
        numbers = [int(number) for number in given]
        if not numbers:
            numbers = [rows]
        if numbers[0] == 0:
            starts = numbers[:-1] if numbers[-1] == rows and len(numbers) > 1 else numbers
            stops = [*starts[1:], rows]
        else:
            stops = np.cumsum(numbers).tolist()
            starts = [0, *stops[:-1]]
        ranges = list(zip(starts, stops, strict=True))
    end = 0
    for start, stop in ranges:
        if start != end or stop <= start:
            raise UsageError(
                f"collect_saliency: fields of {quoted(name)} must cover its {rows:,} rows once, in"
                f" ranges without gaps; one is {start:,} to {stop:,} after row {end:,}"
            )
        end = stop
    if end != rows:
        raise UsageError(
            f"collect_saliency: fields of {quoted(name)} end at row {end:,}, but it has {rows:,}"
        )
    return [stop for _, stop in ranges]
