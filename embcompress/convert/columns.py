"""Parquet files: a column of lists of numbers is a table, another column its keys."""

from __future__ import annotations

import importlib.util
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from embcompress.convert.stream import Made, TableStream, Whole, write_tensors
from embcompress.errors import BadInput, UsageError
from embcompress.progress import Progress
from embcompress.tables.file import SourceFile
from embcompress.tables.header import tensor_info
from embcompress.tables.quoting import listed, quoted

_ROWS = 16384


def convert_parquet(
    file: SourceFile,
    output: Path,
    name: str,
    column: str | None,
    key_column: str | None,
    progress: Progress,
) -> Made:
    """Bring a column of lists of a Parquet file into safetensors.

    Args:
        file: The open file.
        output: The file to write.
        name: The table's name.
        column: The column of lists; the only one by default.
        key_column: A column of texts or integers whose values become the rows' keys.
        progress: Told of rows.

    Raises:
        UsageError: pyarrow is not installed, or no such column.
        BadInput: A damaged file, missing values, or lists of several lengths.
        IOFailure: The system refuses.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise UsageError("Parquet files are read by pyarrow: pip install 'embcompress[parquet]'")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file.path) as parquet:
            schema = parquet.schema_arrow
            wanted = _column(file, pa, schema, column)
            if key_column is not None:
                _check_key(file, pa, schema, key_column)
            columns = [wanted, *([key_column] if key_column else [])]
            if others := [str(n) for n in schema.names if n not in columns]:
                advice = "" if key_column else "; --key-column makes one the rows' keys"
                progress.note(f"{file.shown}: left out columns {listed(others, 4)}{advice}")
            n = parquet.metadata.num_rows
            made = _stream(file, parquet, output, name, columns, n, progress)
    except pa.ArrowException as error:
        first = str(error).splitlines()[0][:160]
        raise BadInput(f"{file.shown}: is no sound Parquet file: {first}") from error
    except OSError as error:
        raise BadInput(f"{file.shown}: cannot be read: {str(error).splitlines()[0]}") from error
    file.unchanged()
    return made


def _column(file: SourceFile, pa: Any, schema: Any, column: str | None) -> str:
    """The column of lists of floats."""
    lists = [str(field.name) for field in schema if _is_list_of_floats(pa, field.type)]
    if column is None:
        if len(lists) == 1:
            return lists[0]
        raise UsageError(
            f"{file.shown}: has {len(lists)} columns of lists of floats; choose with --column from"
            f" {listed(lists or schema.names)}"
        )
    if column not in schema.names:
        raise UsageError(
            f"{file.shown}: has no column {quoted(column)}; there are {listed(schema.names)}"
        )
    if column not in lists:
        raise BadInput(
            f"{file.shown}: column {quoted(column)} is {schema.field(column).type}, no list of"
            f" floats; {listed(lists) if lists else 'none'} would be"
        )
    return column


def _is_list_of_floats(pa: Any, kind: Any) -> bool:
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in kinds) and bool(pa.types.is_floating(kind.value_type))


def _check_key(file: SourceFile, pa: Any, schema: Any, column: str) -> None:
    if column not in schema.names:
        raise UsageError(
            f"{file.shown}: has no column {quoted(column)}; there are {listed(schema.names)}"
        )
    kind = schema.field(column).type
    tests = ("is_integer", "is_string", "is_large_string", "is_binary", "is_large_binary")
    if not any(getattr(pa.types, test)(kind) for test in tests) or kind == pa.uint64():
        raise BadInput(
            f"{file.shown}: column {quoted(column)} is {kind}; keys are texts, bytes or integers"
        )


def _stream(
    file: SourceFile,
    parquet: Any,
    output: Path,
    name: str,
    columns: list[str],
    n: int,
    progress: Progress,
) -> Made:
    stream: TableStream | None = None
    with ExitStack() as opened, progress.stage("converting", n) as stage:
        for batch in parquet.iter_batches(batch_size=_ROWS, columns=columns):
            rows = _rows(file, batch.column(columns[0]), stream.rows if stream else 0)
            if stream is None:
                stream = opened.enter_context(TableStream(output, name, rows.shape[1]))
            if rows.shape[1] != stream.d:
                raise BadInput(
                    f"{file.shown}: row {stream.rows:,} has {rows.shape[1]} numbers, the rows"
                    f" before have {stream.d}"
                )
            if len(columns) > 1:
                _add_keys(file, stream, batch.column(columns[1]))
            stream.add(rows)
            stage.advance(len(rows))
        if stream is None:
            info = tensor_info(name, "F32", (0, 0))
            return write_tensors(output, [Whole(info, lambda: ())])
        return stream.commit()


def _rows(file: SourceFile, column: Any, before: int) -> Any:
    """float32 [b, d] of a batch of lists."""
    kind = column.type
    if column.null_count:
        row = before + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise BadInput(f"{file.shown}: row {row:,} has no list")
    values = column.flatten()
    if values.null_count:
        at = int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])
        raise BadInput(f"{file.shown}: a number is missing, value {at:,} from row {before:,} on")
    if hasattr(kind, "list_size"):
        d = kind.list_size
    else:
        lengths = column.value_lengths().to_numpy()
        d = int(lengths[0]) if len(lengths) else 0
        if (lengths != d).any():
            wrong = int((lengths != d).argmax())
            raise BadInput(
                f"{file.shown}: row {before + wrong:,} has {lengths[wrong]} numbers, the rows"
                f" before have {d}"
            )
    with np.errstate(over="ignore"):
        return values.to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(column), d)


def _add_keys(file: SourceFile, stream: TableStream, column: Any) -> None:
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise BadInput(f"{file.shown}: row {stream.rows + row:,} has no key")
    if "int" in str(column.type):
        stream.add_numbers(column.to_numpy().astype(np.int64))
        return
    keys = [key.encode() if isinstance(key, str) else key for key in column.to_pylist()]
    stream.add_keys(b"".join(keys), np.array([len(key) for key in keys], np.int64))
