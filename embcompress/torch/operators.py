"""The two operators: rows by id, and rows pooled over bags.

Modules call the functions below; compiled graphs call them as operators of
``torch.ops.embcompress``, to which a table is a number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from embcompress.torch.held import Held

NO_PADDING = -1


def look_up(held: Held, ids: Any) -> Any:
    """Rows of a table.

    Args:
        held: The table.
        ids: Integer tensor of any shape and device.

    Returns:
        float32 tensor ``ids.shape + (D,)`` on the device of ``ids``.

    Raises:
        IndexError: An id is negative or not below N.
        TypeError: The ids are not integers.
    """
    table = held.table
    table.threads = torch.get_num_threads()
    rows = torch.empty((*ids.shape, table.shape[1]), dtype=torch.float32)
    table.lookup(ids.detach().cpu().numpy(), rows.numpy())
    return rows.to(ids.device)


def pool(held: Held, ids: Any, edges: Any, weights: Any, mode: str, padding: int) -> Any:
    """Rows of a table pooled over bags.

    Args:
        held: The table.
        ids: Integer tensor [b] on any device.
        edges: Integer tensor [bags + 1]: where bags begin, and b.
        weights: Float tensor [b], or None.
        mode: ``sum``, ``mean`` or ``max``.
        padding: An id that counts for nothing, or -1.

    Returns:
        float32 tensor [bags, D] on the device of ``ids``.

    Raises:
        IndexError: An id is negative or not below N.
        TypeError: The ids are not integers.
        ValueError: The edges do not ascend from 0 to b.
    """
    table = held.table
    table.threads = torch.get_num_threads()
    flat, offsets = ids.detach().cpu().numpy(), edges.detach().cpu().numpy()
    factors = None if weights is None else weights.detach().cpu().float().numpy()
    if padding != NO_PADDING:
        kept = flat != padding
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
        if len(offsets) and offsets.min() >= 0 and offsets.max() <= len(flat):
            offsets = before[offsets]
        flat = flat[kept]
        factors = None if factors is None else factors[kept]
    bags = torch.empty((len(offsets) - 1, table.shape[1]), dtype=torch.float32)
    table.sum_bags(flat, offsets, factors, mode=mode, out=bags.numpy())  # type: ignore[arg-type]
    return bags.to(ids.device)


_look_up = torch.library.custom_op(
    "embcompress::look_up",
    lambda ids, table, d: look_up(Held.find(table), ids),
    mutates_args=(),
    schema="(Tensor ids, int table, int d) -> Tensor",
)
_look_up.register_fake(lambda ids, table, d: ids.new_empty((*ids.shape, d), dtype=torch.float32))

_pool = torch.library.custom_op(
    "embcompress::pool",
    lambda ids, edges, weights, table, d, mode, padding: pool(
        Held.find(table), ids, edges, weights, mode, padding
    ),
    mutates_args=(),
    schema=(
        "(Tensor ids, Tensor edges, Tensor? weights, int table, int d, str mode, int padding)"
        " -> Tensor"
    ),
)
_pool.register_fake(
    lambda ids, edges, weights, table, d, mode, padding: ids.new_empty(
        (edges.shape[0] - 1, d), dtype=torch.float32
    )
)
