"""The verb that finds similar rows."""

from __future__ import annotations

import json as jsonlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from embcompress.cli.rows import Artifact, Force, RowKeys, parse_ids, split_keys
from embcompress.cli.sizes import Json, Quiet, Threads
from embcompress.errors import UsageError

if TYPE_CHECKING:
    from embcompress.pipeline.neighbors import Neighbors


def neighbors(
    artifact: Artifact,
    ids: Annotated[
        str | None,
        typer.Option(
            help="Rows of the table whose neighbours are wanted: 0,17 or ranges 5:8; a row is left"
            " out of its own neighbours.",
            show_default=False,
        ),
    ] = None,
    keys: RowKeys = None,
    queries: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Queries, a float matrix with a query a row, in an .npy or .safetensors file.",
            show_default=False,
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Neighbours of each query.", min=1)] = 10,
    metric: Annotated[
        Literal["cosine", "dot", "l2", "hamming"],
        typer.Option(
            help="cosine and dot: the largest is nearest; l2: squared distance, the smallest;"
            " hamming: signs that differ, the smallest, for binarized tables."
        ),
    ] = "cosine",
    rerank: Annotated[
        Path | None,
        typer.Option(
            metavar="OTHER",
            help="A finer artifact or the source: candidates are found here and ranked by its"
            " rows.",
            show_default=False,
        ),
    ] = None,
    rerank_metric: Annotated[
        Literal["cosine", "dot", "l2"] | None,
        typer.Option(
            help="How OTHER's rows are compared; --metric by default, cosine after hamming.",
            show_default=False,
        ),
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            help="Candidates of each query for --rerank; the larger of 10·k and 100 by default.",
            min=1,
            show_default=False,
        ),
    ] = None,
    table: Annotated[
        str | None, typer.Option(help="The table, when the file has several.", show_default=False)
    ] = None,
    json: Json = False,
    npy: Annotated[
        Path | None,
        typer.Option(
            help="Write row numbers, int64 with a query a row, to an .npy file.",
            show_default=False,
        ),
    ] = None,
    force: Force = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Print the nearest rows of each query, compared on the codes where the method allows it.

    A line holds the query, a row and its score, nearest first; of equal scores the lower row
    comes first. Where the rows' keys are known, such as tokens, the line ends with the row's. With
    --rerank the search has two stages, as in CIGAR: candidates from this file,
    such as a binarized one by --metric hamming, then exact scores from OTHER's rows.
    """
    from embcompress.artifact.atomic import check_target
    from embcompress.cli.terminal import progress_for
    from embcompress.pipeline.neighbors import Search
    from embcompress.pipeline.neighbors import neighbors as find
    from embcompress.threads import available

    if sum(given is not None for given in (ids, keys, queries)) != 1:
        raise UsageError("neighbors wants --ids 0,17 or --queries FILE, or --keys the,of")
    if rerank is None and (candidates is not None or rerank_metric is not None):
        raise UsageError("--candidates and --rerank-metric need --rerank OTHER")
    if npy is not None:
        check_target(npy, force=force, inputs=(artifact,))
    search = Search(
        artifact=artifact,
        table=table,
        ids=None if ids is None else parse_ids(ids),
        keys=split_keys(keys),
        queries=queries,
        k=k,
        metric=metric,
        rerank=rerank,
        rerank_metric=rerank_metric,
        candidates=candidates,
    )
    found = find(search, threads or available(), progress_for(quiet=quiet))
    if npy is not None:
        _write(found, npy)
    elif json:
        print(jsonlib.dumps(_document(found)))
    else:
        for query, rows, scores in zip(found.queries, found.ids, found.scores, strict=True):
            for row, score in zip(rows, scores, strict=True):
                print(query, row, f"{score:.9g}", *found.key_of(row))


def _document(found: Neighbors) -> list[dict[str, Any]]:
    return [
        {
            "query": int(query),
            "neighbors": [
                {
                    "id": row,
                    "score": score if math.isfinite(score) else None,
                    **dict(zip(("key",), found.key_of(row), strict=False)),
                }
                for row, score in zip(rows.tolist(), scores.tolist(), strict=True)
            ],
        }
        for query, rows, scores in zip(found.queries, found.ids, found.scores, strict=True)
    ]


def _write(found: Neighbors, path: Path) -> None:
    import io

    import numpy as np

    from embcompress.artifact.atomic import write_atomically

    buffer = io.BytesIO()
    np.save(buffer, found.ids)
    write_atomically(path, buffer.getvalue())
