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
COLOURS = ("#d1495b", "#00798c", "#c98a00", "#4f9d69", "#8d6b94", "#2e4057", "#b5651d", "#4c7ab8")
PAPER, THEIRS = "#1a1a1a", "#8c8c8c"
LEAST = 1e-3
"""What is nearer to the truth than that is drawn there."""
CALLS = (5, 10, 20, 50, 100, 200, 500, 1000, 3000)
LABEL, REACH = 9.0, 95.0
"""Points from a label to the next above, and to the next on the right."""


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
    figure.suptitle("Distance from the exact posterior: ours in colour, the paper's in black, deepinv's in gray")
    for place, problem in enumerate(panels):
        axes = figure.add_subplot(rows, columns, place + 1)
        axes.set_title(problem.what, fontsize=11, loc="left")
        panel(axes, [r for r in known if r.problem == problem.name], colours)
    figure.savefig(path)


def panel(axes: Any, results: Sequence[Result], colours: dict[str, str]) -> None:
    main = next(iter(results[0].figures))
    axes.set(xscale="log", yscale="log", ylabel=AXES[main], xlabel="denoiser calls a sample")
    floors = [r.mean(f"{main}_floor") for r in results]
    if floors[0] is not None:
        axes.axhline(floors[0], color=THEIRS, linewidth=1, linestyle=":")
        axes.annotate("exact draws", (38_000, floors[0]), fontsize=7, color=THEIRS, ha="right", va="bottom")
    ends = []
    for library, sampler in dict.fromkeys((r.library, r.sampler) for r in results):
        points = sorted(
            (r.nfe, max(r.mean(main) or 0, LEAST)) for r in results if (r.library, r.sampler) == (library, sampler)
        )
        theirs, paper = library != "snips", sampler.startswith("langevin")
        colour = THEIRS if theirs else PAPER if paper else colours[sampler]
        axes.plot(*zip(*points, strict=True), color=colour, marker="x" if theirs else "o", markersize=5, linewidth=1.6)
        ends.append((points[-1], sampler, colour))
    axes.set_xlim(3.5, 40_000)
    axes.set_xticks(CALLS, [str(calls) for calls in CALLS], fontsize=8)
    axes.minorticks_off()
    axes.margins(y=0.15)
    axes.grid(color="#ececec", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    label(axes, ends)


def label(axes: Any, ends: Sequence[tuple[tuple[float, float], str, str]]) -> None:
    """Names to the right of the last points, from below upwards, lifted until none is over another."""
    taken: list[tuple[float, float]] = []
    for point, name, colour in sorted(ends, key=lambda end: end[0][1]):
        x, y = axes.transData.transform(point) * 72 / axes.figure.dpi
        lift = 2.0
        while any(abs(y + lift - other) < LABEL and abs(x - there) < REACH for there, other in taken):
            lift += 1
        taken.append((x, y + lift))
        axes.annotate(name, point, xytext=(6, lift), textcoords="offset points", fontsize=8, color=colour)
