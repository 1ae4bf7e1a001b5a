"""What a target is: a frozen dataclass of options that checks tables and writes an output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from embcompress.errors import UsageError
from embcompress.options import validate
from embcompress.progress import Progress

if TYPE_CHECKING:
    from embcompress.artifact.reader import Artifact
    from embcompress.artifact.table import CompressedTable


@dataclass(frozen=True)
class Job:
    """One export.

    Args:
        artifact: The open artifact.
        tables: Those to export, by name.
        whole: Whether that is all of them, so that the artifact's other tensors go along.
        output: Where to.
        threads: Cores to use.
        progress: Told of stages and rows.
    """

    artifact: Artifact
    tables: Mapping[str, CompressedTable]
    whole: bool
    output: Path
    threads: int
    progress: Progress

    @property
    def only(self) -> CompressedTable:
        """The one table.

        Raises:
            UsageError: There are several.
        """
        if len(self.tables) != 1:
            raise UsageError(f"{self.artifact.path}: choose with --table from {list(self.tables)}")
        return next(iter(self.tables.values()))


@dataclass(frozen=True, kw_only=True)
class Target(ABC):
    """Another library's files.

    Attributes:
        name: As ``--to`` has it.
        about: What is written, for the help and the docs.
        takes: What can be exported to it, for errors and the docs.
        example: Words after ``embcompress export``.
        folder: Whether the output is a folder.
        suffixes: What the name of an output file may end with; any when empty.
    """

    registered: ClassVar[list[type[Target]]] = []
    name: ClassVar[str]
    about: ClassVar[str]
    takes: ClassVar[str]
    example: ClassVar[str]
    folder: ClassVar[bool] = False
    suffixes: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in cls.__dict__:
            Target.registered.append(cls)

    def __post_init__(self) -> None:
        """Check every option.

        Raises:
            UsageError: A value outside of its declaration.
        """
        validate(self, f"export --to {self.name}")

    def preflight(self) -> None:  # noqa: B027
        """Refuse options that do not go together, or are missing, before anything is read.

        Raises:
            UsageError: Naming what is missing.
        """

    @abstractmethod
    def check(self, job: Job) -> None:
        """Refuse what cannot be exported, before anything is written.

        Raises:
            UsageError: A table whose form the target has no place for.
            BadInput: A file that belongs to it is wrong.
        """

    @abstractmethod
    def write(self, job: Job) -> None:
        """Write the output, whole or not at all.

        Raises:
            BadInput: The artifact is damaged.
            IOFailure: The system refuses.
        """

    def refuse(self, table: CompressedTable, why: str) -> UsageError:
        """The error for a table that cannot be exported: why, and what can."""
        method = table.form.method.get("spelled") or "it"
        return UsageError(
            f"table '{table.name}' ({method}) cannot be exported to {self.name}: {why};"
            f" {self.name} takes {self.takes}"
        )
