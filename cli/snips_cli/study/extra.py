"""The libraries of the extras, and a clear line where one is not installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from snips.errors import MissingExtra

STUDY = ("pandas", "pyarrow", "matplotlib", "jinja2", "torchmetrics")

EXTRAS = {"ray": "ray"} | dict.fromkeys(STUDY, "study")
"""Which extra brings which library."""


def need(name: str) -> Any:
    """The module of this name, as in need("pyarrow.parquet"). Raises MissingExtra, saying what to type."""
    try:
        return import_module(name)
    except ImportError as error:
        library = name.partition(".")[0]
        extra = EXTRAS[library]
        raise MissingExtra(f"studies need {library}: pip install 'snips-toolkit[{extra}]'") from error
