"""A static model: a tokenizer, and the vector of each token."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcompress.artifact.atomic import AtomicFolder, OpenFile
from embcompress.errors import BadInput
from embcompress.export.base import Job
from embcompress.export.codewords import Codewords, codewords_of
from embcompress.export.tensors import RowTensor, write_rows
from embcompress.tables.file import SourceFile
from embcompress.tables.header import dump_header, order_tensors, tensor_info

_MOST = 2**30  # bytes of a tokenizer's file


def write_model(job: Job, tokenizer: Path, *, normalize: bool) -> None:
    """Write the folder of the one table.

    Args:
        job: The export.
        tokenizer: Its tokenizer.json.
        normalize: Whether the model scales its sentence vectors to length 1.
    """
    found = codewords_of(job.only)
    made = _dense(job) if found is None else _mapped(found)
    config = {
        "model_type": "model2vec",
        "architectures": ["StaticModel"],
        "normalize": normalize,
        "embedding_dtype": {"F16": "float16", "F32": "float32"}[made[0].dtype],
    }
    if found is not None:
        config["vocabulary_quantization"] = len(found.rows)
    with AtomicFolder(job.output) as folder:
        _write_tensors(job, made, folder.create("model.safetensors"))
        text = json.dumps(config, indent=4) + "\n"
        folder.create("config.json").write_at(0, text.encode())
        folder.create("modules.json").write_at(0, (json.dumps(_modules(normalize)) + "\n").encode())
        folder.copy("tokenizer.json", tokenizer)
        folder.commit()


def _modules(normalize: bool) -> list[dict[str, object]]:
    """The modules of sentence-transformers, in their order."""
    kinds = [("", "StaticEmbedding"), *([("1_Normalize", "Normalize")] if normalize else [])]
    return [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds)
    ]


def _mapped(found: Codewords) -> list[RowTensor]:
    dtype = "F16" if found.rows.dtype == np.float16 else "F32"
    return [
        RowTensor("embeddings", dtype, found.rows.shape, partial(_slice, found.rows)),
        RowTensor("mapping", "I64", found.codes.shape, partial(_slice, found.codes)),
    ]


def _dense(job: Job) -> list[RowTensor]:
    table = job.only
    return [RowTensor("embeddings", "F32", table.shape, table.read)]


def _slice(array: NDArray[Any], start: int, stop: int) -> NDArray[Any]:
    return array[start:stop]


def _write_tensors(job: Job, made: list[RowTensor], file: OpenFile) -> None:
    placed = order_tensors([tensor_info(t.name, t.dtype, t.shape) for t in made])
    header = dump_header(placed, {})
    file.reserve(len(header) + sum(info.nbytes for info in placed.values()))
    file.write_at(0, header)
    for tensor in made:
        write_rows(job, tensor, file, len(header) + placed[tensor.name].begin)


def count_tokens(path: Path) -> int:
    """Tokens of a tokenizer, counted by their highest id.

    Raises:
        BadInput: The file is no tokenizer.
        IOFailure: The system refuses.
    """
    with SourceFile(path) as file:
        if file.size > _MOST:
            raise BadInput(f"{path}: is no tokenizer.json: it has {file.size:,} bytes")
        text = file.read(0, file.size)
    try:
        values = json.loads(text)
        vocabulary = values["model"]["vocab"]
        ids = [token["id"] for token in values.get("added_tokens", [])]
        if isinstance(vocabulary, dict):
            ids += vocabulary.values()
        else:
            ids.append(len(vocabulary) - 1)
        return int(max(ids)) + 1
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(f"{path}: is no tokenizer.json of the tokenizers library") from error
