"""Drop-in modules that look rows up in a compressed table."""

from __future__ import annotations

from typing import Any

import torch

from embcompress.artifact.form import MARK
from embcompress.artifact.table import CompressedTable
from embcompress.errors import EmbcompressError, UsageError
from embcompress.torch import operators
from embcompress.torch.held import FORM, Held, in_memory

FROZEN = (
    "a compressed table is fixed and has no gradient; train the dense table, then compress it again"
)


class Compressed(torch.nn.Module):  # type: ignore[misc]
    """What both modules are: a compressed table in the place of ``weight``.

    The state dict holds every byte of the table, under ``weight::`` and the names that the file
    has, and ``weight::form``, which describes them: it loads without the file. Outputs never ask
    for a gradient. They take the dtype and device that the module was moved to; the table itself
    stays in the memory of the host.

    Attributes:
        num_embeddings: Rows N.
        embedding_dim: Columns D.
        padding_idx: As that of the dense module.
    """

    def __init__(
        self, table: CompressedTable, *, padding_idx: int | None = None, mmap: bool = False
    ) -> None:
        """Hold a table.

        Args:
            table: A compressed table, such as ``embcompress.open(path)[name]``.
            padding_idx: As for the dense module; may count from the end.
            mmap: Whether rows stay in the table's file, checked as they are looked up, instead of
                being read and checked now.

        Raises:
            UsageError: ``padding_idx`` is no row.
            BadInput: The file is damaged.
        """
        super().__init__()
        rows = table.shape[0]
        if padding_idx is not None and not -rows <= padding_idx < rows:
            raise UsageError(f"padding_idx {padding_idx} is no row of a table of {rows} rows")
        negative = padding_idx is not None and padding_idx < 0
        self.padding_idx = padding_idx + rows if negative else padding_idx  # type: ignore[operator]
        self._held = Held(table if mmap else in_memory(table))
        self.register_buffer("_like", torch.empty(0), persistent=False)

    @property
    def table(self) -> CompressedTable:
        """The compressed table."""
        return self._held.table

    @property
    def num_embeddings(self) -> int:
        """Rows N."""
        return self.table.shape[0]

    @property
    def embedding_dim(self) -> int:
        """Columns D."""
        return self.table.shape[1]

    @property
    def weight(self) -> Weight:
        """What stands in the place of the dense tensor; ``weight.dense()`` restores it."""
        return Weight(self)

    def requires_grad_(self, requires_grad: bool = True) -> Compressed:
        """Refuse to be trained.

        Raises:
            UsageError: ``requires_grad`` is true.
        """
        if requires_grad:
            raise UsageError(FROZEN)
        return self

    def extra_repr(self) -> str:
        """Shape and method."""
        method = self.table.form.method.get("spelled", "")
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}, {method}"

    def _as_moved(self, rows: Any) -> Any:
        like = self._like
        return rows if rows.dtype == like.dtype and rows.device == like.device else rows.to(like)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        for suffix, tensor in self._held.tensors().items():
            destination[f"{prefix}weight{suffix}"] = tensor

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        start = f"{prefix}weight"
        mine = {k.removeprefix(start): v for k, v in state_dict.items() if k.startswith(start)}
        tensors = {k: v for k, v in mine.items() if k.startswith(MARK)}
        if "" in mine:
            error_msgs.append(
                f"'{start}' is a dense table, and the module holds a compressed one; compress the"
                " checkpoint and load it with embcompress.torch.load_model"
            )
        elif FORM not in tensors:
            missing_keys.append(start + FORM)
        else:
            try:
                held = Held.from_tensors(tensors, f"'{start}'")
            except EmbcompressError as error:
                error_msgs.append(str(error))
                return
            if held.table.shape != self.table.shape:
                shapes = f"{list(held.table.shape)}, the module {list(self.table.shape)}"
                error_msgs.append(f"'{start}' is a table of {shapes}")
                return
            self._held = held


class Embedding(Compressed):
    """``torch.nn.Embedding`` over a compressed table: rows by id.

    ``padding_idx`` changes nothing, as in the dense module: its row is what the table holds.
    """

    def forward(self, input: Any) -> Any:
        """Look rows up.

        Args:
            input: Integer tensor of any shape.

        Returns:
            Tensor ``input.shape + (D,)``.

        Raises:
            IndexError: An id is negative or not below N.
            TypeError: The ids are not integers.
        """
        if torch.compiler.is_compiling():
            number, d = self._held.number, self.embedding_dim
            return self._as_moved(torch.ops.embcompress.look_up(input, number, d))
        return self._as_moved(operators.look_up(self._held, input))


class EmbeddingBag(Compressed):
    """``torch.nn.EmbeddingBag`` over a compressed table: rows pooled over bags.

    Rows of a bag are added in their order. Rows at ``padding_idx`` count for nothing.
    """

    def __init__(
        self,
        table: CompressedTable,
        *,
        mode: str = "mean",
        padding_idx: int | None = None,
        include_last_offset: bool = False,
        mmap: bool = False,
    ) -> None:
        """Hold a table.

        Args:
            table: A compressed table, such as ``embcompress.open(path)[name]``.
            mode: ``sum``, ``mean`` or ``max``.
            padding_idx: An id that counts for nothing; may count from the end.
            include_last_offset: Whether offsets end with the number of ids.
            mmap: Whether rows stay in the table's file.

        Raises:
            UsageError: Another mode, or ``padding_idx`` is no row.
            BadInput: The file is damaged.
        """
        super().__init__(table, padding_idx=padding_idx, mmap=mmap)
        if mode not in ("sum", "mean", "max"):
            raise UsageError(f"mode is sum, mean or max, not {mode!r:.60}")
        self.mode = mode
        self.include_last_offset = include_last_offset

    def forward(self, input: Any, offsets: Any = None, per_sample_weights: Any = None) -> Any:
        """Pool rows.

        Args:
            input: Integer tensor [b], or [bags, length] for bags of one length.
            offsets: Integer tensor [bags], where bags begin; for ids [b] only.
            per_sample_weights: Float tensor of the shape of ``input``; for sums only.

        Returns:
            Tensor [bags, D].

        Raises:
            IndexError: An id is negative or not below N.
            TypeError: The ids are not integers.
            ValueError: ``input``, ``offsets`` and ``per_sample_weights`` do not fit.
            UsageError: Weights with another mode than ``sum``, or weights that ask for a gradient.
        """
        weights = per_sample_weights
        if weights is not None:
            if self.mode != "sum":
                raise UsageError(f"per_sample_weights go with mode 'sum', not '{self.mode}'")
            if weights.shape != input.shape:
                raise ValueError(
                    f"per_sample_weights are {list(weights.shape)}, the ids {list(input.shape)}"
                )
            if weights.requires_grad and torch.is_grad_enabled():
                raise UsageError(
                    "per_sample_weights ask for a gradient, which bags of a compressed table do"
                    " not give; detach them"
                )
            weights = weights.reshape(-1)
        ids, edges = input.reshape(-1), self._edges(input, offsets)
        padding = operators.NO_PADDING if self.padding_idx is None else self.padding_idx
        if torch.compiler.is_compiling():
            number, d = self._held.number, self.embedding_dim
            pooled = torch.ops.embcompress.pool(ids, edges, weights, number, d, self.mode, padding)
        else:
            pooled = operators.pool(self._held, ids, edges, weights, self.mode, padding)
        return self._as_moved(pooled)

    def _edges(self, input: Any, offsets: Any) -> Any:
        """Where bags begin, and the number of ids."""
        if input.dim() == 2:
            if offsets is not None:
                raise ValueError(
                    "offsets go with ids [b]; ids [bags, length] are bags of one length"
                )
            return torch.arange(len(input) + 1, device=input.device) * input.shape[1]
        if input.dim() != 1:
            raise ValueError(f"ids are [b] or [bags, length], not {list(input.shape)}")
        if offsets is None or offsets.dim() != 1:
            raise ValueError("ids [b] want offsets [bags]: where bags begin")
        if self.include_last_offset:
            return offsets
        return torch.cat([offsets, offsets.new_full((1,), input.shape[0])])

    def extra_repr(self) -> str:
        """Shape, mode and method."""
        return f"{super().extra_repr()}, mode={self.mode}"


class Weight:
    """What ``module.weight`` is: shape, dtype and device of a table that is not there as a tensor.

    ``weight[ids]`` looks rows up, ``weight.dense()`` restores the tensor; gradients are refused.
    """

    requires_grad_ = Compressed.requires_grad_
    grad = None

    def __init__(self, module: Compressed) -> None:
        self._module = module

    @property
    def shape(self) -> Any:
        """Rows and columns."""
        return torch.Size(self._module.table.shape)

    @property
    def dtype(self) -> Any:
        """Of what the module gives."""
        return self._module._like.dtype

    @property
    def device(self) -> Any:
        """Of what the module gives."""
        return self._module._like.device

    @property
    def requires_grad(self) -> bool:
        """Always false."""
        return False

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self._module.requires_grad_(value)

    def size(self, axis: int | None = None) -> Any:
        """As of a tensor."""
        return self.shape if axis is None else self.shape[axis]

    def dim(self) -> int:
        """As of a tensor."""
        return 2

    def numel(self) -> int:
        """As of a tensor."""
        return int(self.shape[0] * self.shape[1])

    def dense(self) -> Any:
        """The table restored: a new tensor [N, D] of N·D numbers."""
        return self._module._as_moved(torch.from_numpy(self._module.table.restore()))

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, ids: Any) -> Any:
        ids = torch.as_tensor(ids)
        return self._module._as_moved(operators.look_up(self._module._held, ids))

    def __repr__(self) -> str:
        return f"<compressed weight {list(self.shape)}; dense() restores it>"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a compressed weight has no '{name}'; weight.dense() restores it")

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = getattr(function, "__name__", str(function))
        raise TypeError(f"{name} wants a tensor; weight.dense() restores the compressed table")
