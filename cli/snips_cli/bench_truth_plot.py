"""The picture of `snips bench truth`: distance from the truth over denoiser calls, a panel a problem."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snips.truth import Calibrated, CalibrationProblem, KnownProblem, Result

COLUMNS = 3
AXES = {"w2": "relative W2", "tv": "total variation of the weights", "sw1": "sliced W1"}
COLOURS = ("#d1495b", "#00798c", "#edae49", "#66a182", "#8d6b94", "#2e4057", "#b5651d", "#5b8e7d")
PAPER, THEIRS = "#1a1a1a", "#9a9a9a"
LEAST = 1e-3
"""What is nearer to the truth than that is drawn there."""


def draw(
    path: Path, results: Sequence[Result | Calibrated], problems: Sequence[KnownProblem | CalibrationProblem]
) -> None:
    """A PNG; nothing if no problem has a distance."""
    from matplotlib.figure import Figure

    from snips.truth import Result

    known = [r for r in results if isinstance(r, Result)]
    panels = [problem for problem in problems if any(r.problem == problem.name for r in known)]
    if not panels:
        return
    ours = sorted({r.sampler for r in known if r.library == "snips" and not r.sampler.startswith("langevin")})
    colours = dict(zip(ours, COLOURS * len(ours), strict=False))
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(5.2 * columns, 3.9 * rows), layout="constrained", dpi=120)
    for place, problem in enumerate(panels):
        panel(figure.add_subplot(rows, columns, place + 1), [r for r in known if r.problem == problem.name], colours)
        figure.axes[-1].set_title(problem.what, fontsize=11, loc="left")
    figure.suptitle(
        "Distance from the exact posterior: ours in colour, the paper's in black, deepinv's in gray", fontsize=13
    )
    figure.savefig(path)


def panel(axes: Any, results: Sequence[Result], colours: dict[str, str]) -> None:
    main = next(iter(results[0].figures))
    floor = max((r.mean(f"{main}_floor") or 0 for r in results), default=0)
    if floor and main != "w2":
        axes.axhline(floor, color=THEIRS, linewidth=1, linestyle=":")
        axes.annotate(
            "exact draws",
            (1, floor),
            xycoords=("axes fraction", "data"),
            fontsize=7,
            color=THEIRS,
            ha="right",
            va="bottom",
        )
    for sampler in dict.fromkeys((r.library, r.sampler) for r in results):
        points = sorted((r.nfe, max(r.mean(main) or 0, LEAST)) for r in results if (r.library, r.sampler) == sampler)
        x, y = zip(*points, strict=True)
        theirs, paper = sampler[0] != "snips", sampler[1].startswith("langevin")
        colour = THEIRS if theirs else PAPER if paper else colours[sampler[1]]
        axes.plot(x, y, color=colour, marker="x" if theirs else "o", markersize=5, linewidth=1.6)
        axes.annotate(sampler[1], points[-1], textcoords="offset points", xytext=(6, 3), fontsize=8, color=colour)
    axes.set(xscale="log", yscale="log", xlabel="denoiser calls a sample", ylabel=AXES[main])
    axes.margins(0.18)
    axes.grid(which="major", color="#e5e5e5", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
