"""The installed plugins: entry points of the group `snips`, read from the distributions' own entry_points.txt.

What importlib.metadata does too; but importing it, e-mail parser and all, takes as long as everything else that
`snips --help` has to do. Names and versions are those of the .dist-info folders (PEP 376).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

GROUP = "snips"


@dataclass(frozen=True, eq=False)
class EntryPoint:
    """A line `name = module` or `name = module:attribute`, and whose it is."""

    name: str
    value: str
    distribution: str
    version: str

    def load(self) -> Any:
        module, _, attributes = self.value.partition(":")
        loaded = import_module(module.strip())
        for attribute in filter(None, attributes.strip().split(".")):
            loaded = getattr(loaded, attribute)
        return loaded


def entry_points() -> Iterator[EntryPoint]:
    """Those of every distribution on sys.path; of two of one name, the first on the path."""
    seen = set()
    for folder in dict.fromkeys(sys.path):
        try:
            names = sorted(os.listdir(folder or "."))
        except OSError:
            continue
        for info in names:
            if not info.endswith(".dist-info"):
                continue
            distribution, _, version = info.removesuffix(".dist-info").partition("-")
            distribution = distribution.replace("_", "-").lower()
            if distribution not in seen:
                seen.add(distribution)
                yield from _points(os.path.join(folder, info, "entry_points.txt"), distribution, version)


def _points(file: str, distribution: str, version: str) -> Iterator[EntryPoint]:
    try:
        with open(file, encoding="utf-8") as opened:
            lines = [line.strip() for line in opened]
    except (OSError, UnicodeDecodeError):
        return
    section = ""
    for line in lines:
        if line.startswith("["):
            section = line.strip("[]").strip()
        elif section == GROUP and "=" in line and line[0] not in "#;":
            name, _, value = line.partition("=")
            yield EntryPoint(name.strip(), value.strip(), distribution, version or "?")
