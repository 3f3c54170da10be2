"""The figures of a run, as a short table on stdout."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

WIDE = 160
"""Characters a line where nobody watches."""


def print_table(entries: Sequence[Mapping[str, Any]]) -> None:
    """One line a picture; columns that have nothing to say are left out."""
    rows = [columns(entry) for entry in entries]
    used = [name for name in rows[0] if any(row[name] for row in rows)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in used:
        table.add_column(name, justify="left" if name == "picture" else "right", overflow="fold")
    for row in rows:
        table.add_row(*(row[name] for name in used))
    console = Console()
    (console if console.is_terminal else Console(width=WIDE)).print(table)


def columns(entry: Mapping[str, Any]) -> dict[str, str]:
    """The cells of a picture's line, empty for what is not known. Samples and tests: means over the samples."""
    residual, hole = entry["residual"], entry.get("hole") or {}
    return {
        "picture": entry["name"],
        "σ0": f"{entry['sigma']:.4g}",
        "NFE": str(entry["nfe"]),
        "seconds": f"{entry['seconds']:.1f}",
        **psnrs(entry, "PSNR of"),
        "MSE ratio": number(entry["samples"]["mse_ratio"], 2),
        "hole: fill": number((hole.get("fill") or {}).get("psnr"), 2),
        **psnrs(hole, "hole:"),
        "residual std/σ0": number(average(residual["std_over_sigma"]), 3),
        "max |ρ|": number(max((abs(rho) for rho in known(residual["rho"])), default=None), 3),
        "p": number(average(residual["p_value"]), 2),
    }


def psnrs(figures: Mapping[str, Any], scope: str) -> dict[str, str]:
    """PSNR in dB of the MMSE estimate, the samples, and their mean."""
    return {
        f"{scope} MMSE": number((figures.get("mmse") or {}).get("psnr"), 2),
        f"{scope} samples": number(average((figures.get("samples") or {}).get("psnr") or []), 2),
        f"{scope} mean": number((figures.get("posterior_mean") or {}).get("psnr"), 2),
    }


def known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def average(values: Sequence[float | None]) -> float | None:
    return statistics.fmean(known(values)) if known(values) else None


def number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
