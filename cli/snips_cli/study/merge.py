"""cells.parquet and rows.parquet, put together from the cells: in the order of the grid, a thousand cells at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from snips.files import new_file
from snips_cli.study.extra import need
from snips_cli.study.folder import CELL, StudyFolder, read_json
from snips_cli.study.record import survey_of

AT_ONCE = 1000
"""Cells whose records are in memory together."""

TEXT, WHOLE, REAL, YES = "string", "int64", "float64", "bool_"
"""Types, by their names in pyarrow."""

KEYS = {
    "cell": TEXT,
    "label": TEXT,
    "denoiser": TEXT,
    "denoiser_options": TEXT,
    "task_label": TEXT,
    "task": TEXT,
    "task_options": TEXT,
    "sampler_label": TEXT,
    "sampler": TEXT,
    "sampler_options": TEXT,
    "sigma": REAL,
    "image": TEXT,
    "image_index": WHOLE,
    "seed": WHOLE,
}
OF_A_CELL = {
    "status": TEXT,
    "error": TEXT,
    "channels": WHOLE,
    "height": WHOLE,
    "width": WHOLE,
    "samples": WHOLE,
    "cell_seed": WHOLE,
    "nfe": WHOLE,
    "outside": WHOLE,
    "seconds": REAL,
    "seconds_sampling": REAL,
    "seconds_denoiser": REAL,
    "seconds_measuring": REAL,
    "device": TEXT,
    "dtype": TEXT,
    "pictures": YES,
}
OF_A_ROW = {"sample": WHOLE, "nfe": WHOLE, "seconds": REAL}
TIMES = ("seconds", "seconds_sampling", "seconds_denoiser", "seconds_measuring", "device")
"""Columns that are no function of the study; all others are the same however often, and wherever, it is run."""


def merge(folder: StudyFolder) -> None:
    """Write both tables, each in one move. Raises OutputError, MissingExtra."""
    pyarrow, parquet = need("pyarrow"), need("pyarrow.parquet")
    cell, row = examples(folder)
    cells, rows = schema(KEYS | OF_A_CELL, cell), schema(KEYS | OF_A_ROW, row)
    with (
        new_file(folder.path / "cells.parquet") as cells_file,
        new_file(folder.path / "rows.parquet") as rows_file,
        parquet.ParquetWriter(cells_file, cells) as cells_out,
        parquet.ParquetWriter(rows_file, rows) as rows_out,
    ):
        for some in batches(found(folder)):
            cells_out.write_table(pyarrow.Table.from_pylist([one["cell"] for one in some], cells))
            rows_out.write_table(pyarrow.Table.from_pylist([row for one in some for row in one["rows"]], rows))


def examples(folder: StudyFolder) -> tuple[dict[str, Any], dict[str, Any]]:
    """The columns of a finished cell, and those of a row if there is one."""
    cell: dict[str, Any] = {}
    for one in found(folder):
        if one["cell"]["status"] == "ok":
            cell = cell or one["cell"]
            if one["rows"]:
                return cell, one["rows"][0]
    return cell, {}


def found(folder: StudyFolder) -> Iterator[dict[str, Any]]:
    """What is known of every cell, in order; cells that are still to be computed are left out."""
    survey = survey_of(folder.read())
    for cell in survey.grid:
        reason = survey.plan(cell).reason
        if reason:
            yield {"cell": cell.facts() | {"status": "skipped", "error": reason}, "rows": []}
        elif folder.has(cell.id):
            yield read_json(folder.place(cell.id) / CELL)
        elif folder.has_failed(cell.id):
            yield read_json(folder.failure(cell.id)) | {"rows": []}


def schema(fixed: Mapping[str, str], record: Mapping[str, Any]) -> Any:
    """A pyarrow schema: what is fixed, and the figures that a record has besides."""
    pyarrow = need("pyarrow")
    columns = {**fixed, **{name: REAL for name in record if name not in fixed}}
    return pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in columns.items()])


def batches(records: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while some := list(islice(records, AT_ONCE)):
        yield some
