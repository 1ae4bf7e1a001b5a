"""What a method is: a frozen dataclass of options that plans, fits, and gives an encoder."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

from embcompress.options import changed, declared, validate
from embcompress.progress import Progress
from embcompress.solvers.encoder import Encoder
from embcompress.tables.rows import Rows, Tile

if TYPE_CHECKING:
    from embcompress.codecs.base import Codec
    from embcompress.solvers.statistics import Statistics
    from embcompress.tables.gradients import Gradients

__all__ = ["Accounts", "Context", "Encoder", "Method"]

R = TypeVar("R")


class Accounts(Protocol):
    """All tables of a run, for methods that aim at a size."""

    @property
    def source_bytes(self) -> int:
        """Bytes of all tables in their source."""
        ...

    @property
    def weights(self) -> int:
        """Numbers in all tables."""
        ...

    def artifact_bytes(
        self,
        chosen: Mapping[str, tuple[Method, Codec]],
        context: Context,
        ragged: Mapping[str, int] | None = None,
    ) -> int:
        """Bytes of all tables in the artifact, everything counted, with these codecs.

        Args:
            chosen: Settled method and codec by the keys of ``plan``; only the shapes of shared
                arrays matter.
            context: Fits what is not chosen: hot rows.
            ragged: Bytes of the data of codecs with one ragged part, whose lengths are implied.

        Raises:
            UsageError: Some tables have another method.
        """
        ...


class Context(Protocol):
    """What the pipeline offers to a method."""

    @property
    def seed(self) -> int:
        """Seeds every random choice."""
        ...

    @property
    def threads(self) -> int:
        """Cores to use."""
        ...

    @property
    def memory(self) -> int:
        """Bytes to stay below."""
        ...

    @property
    def accounting(self) -> Accounts | None:
        """All tables of the run; None where rows are not those of a file."""
        ...

    @property
    def progress(self) -> Progress:
        """Told of stages, such as training."""
        ...

    def statistics(self, rows: Rows, needs: frozenset[str]) -> Statistics:
        """Statistics of some rows; collected in one pass unless they are known already."""
        ...

    def gradients(self, rows: Rows) -> Gradients | None:
        """Gradients of some rows, of their field alone where fields are segments.

        None where the run has none, or the rows are not those of a table, such as coordinates.
        """
        ...

    def each(
        self,
        rows: Rows,
        function: Callable[[Tile], R],
        stage: str,
        needs: frozenset[str] | None = None,
    ) -> Iterator[R]:
        """Apply a function to every tile over the threads; results in order.

        With ``needs``, the same pass collects these statistics of the rows.
        """
        ...

    def fit(self, method: Method, rows: Rows) -> Encoder:
        """Settle and fit another method on rows, such as coordinates."""
        ...


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """How a table is compressed. Options are the fields; every one carries an Option."""

    registered: ClassVar[list[type[Method]]] = []
    name: ClassVar[str]
    family: ClassVar[str]
    source: ClassVar[str]
    native: ClassVar[bool]
    example: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in cls.__dict__:
            Method.registered.append(cls)

    def __post_init__(self) -> None:
        validate(self, self.name)

    @property
    def needs(self) -> frozenset[str]:
        """Statistics that ``plan`` and ``fit`` use: see solvers/statistics.py."""
        return frozenset()

    @property
    def reads_first(self) -> bool:
        """Whether ``plan`` passes over all rows by ``Context.each`` with ``needs``.

        The pipeline's own pass for statistics is then left out.
        """
        return False

    @property
    def per_field(self) -> bool:
        """Whether each field is fitted apart even without ``--per-field``."""
        return False

    @property
    def tiers(self) -> tuple[float, ...]:
        """Shares of the rows, most frequent first, that are segments of their own beside the rest.

        With any, a table needs frequencies, and its tiers are fitted by ``fit_tiers``.
        """
        return ()

    @property
    def gradients(self) -> bool:
        """Whether it is fitted to gradients: then a run needs ``--grads``, else it takes none."""
        return False

    @property
    def ranked_by(self) -> Literal["frequency", "norm"]:
        """What puts rows into tiers: frequency, or frequency times norm.

        The norms are taken in a pass of their own before rows are grouped; without frequencies
        they rank rows alone.
        """
        return "frequency"

    def preflight(self, rows: Rows, context: Context) -> None:  # noqa: B027
        """Refuse what cannot work on some rows, before anything is read.

        Args:
            rows: A segment of a table; only its name, shape and weights are known yet.
            context: The run's settings; no statistics yet.

        Raises:
            UsageError: Options that cannot work on this shape.
            IOFailure: Too little memory.
        """

    def plan(self, tables: Mapping[str, Rows], context: Context) -> Mapping[str, Method]:
        """Settle options that depend on shapes, values, a budget, or all tables together.

        Args:
            tables: The rows to compress, by a key for the answer.
            context: Statistics and the run's settings.

        Raises:
            UsageError: The options cannot work on a table's values.
        """
        return dict.fromkeys(tables, self)

    @abstractmethod
    def fit(self, rows: Rows, context: Context) -> Encoder:
        """Fit to some rows.

        Args:
            rows: A segment of a table.
            context: Statistics and the run's settings.
        """

    def fit_tiers(self, tiers: Sequence[Rows], context: Context) -> Sequence[Encoder]:
        """Fit the tiers of a table, or of one field of it, together.

        Tiers that ``plan`` gave methods of their own are fitted by these, apart.

        Args:
            tiers: Most frequent first, the rest last.
            context: Statistics and the run's settings.

        Returns:
            An encoder for each; shared arrays that they have in common are stored once.
        """
        return [self.fit(rows, context) for rows in tiers]

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring."""
        return (cls.__doc__ or "").strip().split("\n")[0]

    def spelled(self) -> str:
        """The method as typed on the command line: its name and what differs from defaults."""
        options = declared(type(self))
        words = [self.name]
        for key, value in changed(self).items():
            if options[key].kind is bool:
                words.append(options[key].flag)
            else:
                words += [options[key].flag, shlex.quote(str(value))]
        return " ".join(words)
