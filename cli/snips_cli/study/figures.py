"""The charts of a report, drawn by matplotlib without a display, each as SVG and PNG."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from snips.metrics import residual_tests
from snips_cli.study.measures import PIT_BINS
from snips_cli.study.metrics import BY_NAME, Metric
from snips_cli.study.report_data import Group, Study, spread
from snips_cli.study.report_parts import INK, Chart, number, sigma_text, slug
from snips_cli.study.report_pictures import Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#3b82c4", "#d97706", "#2a9d6f", "#c2477f", "#8b6fd0", "#b5651d", "#5b9aa0", "#a3a12b", "#d1495b", "#6c757d")
"""Of priors; told apart on white and on black."""
MARKERS = "osD^vP*X"
"""Of samplers."""

PANELS = 4
"""At most so many σ0 side by side."""

SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "snips",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.18,
    "grid.color": INK,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
}


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """A figure of this many inches, in our manner."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SETTINGS):
        yield Figure(figsize=(width, height), layout="constrained")


def chart(figure: Figure, name: str, caption: str) -> Chart:
    """The figure as text and bits; the same at every call."""
    svg, png = io.StringIO(), io.BytesIO()
    figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
    figure.savefig(png, format="png", dpi=150, facecolor="white", metadata={"Software": None})
    return Chart(name, svg.getvalue(), png.getvalue(), caption)


def plane(study: Study) -> list[Chart]:
    """The perception–distortion plane for each perceptual metric: every prior and sampler is a point, at each σ0."""
    settings = [*study.settings(denoising=True), *study.settings(denoising=False)]
    charts = []
    for metric in (BY_NAME[n] for n in study.metrics() if n in BY_NAME and BY_NAME[n].perceptual):
        tasks = dict.fromkeys(task for task, *_ in settings)
        for task in tasks:
            panels = [(s, g) for t, s, g in settings if t == task and any(x.of_rows(metric.name) for x in g)]
            if panels:
                charts.append(plane_of(study, metric, task, spread(panels, PANELS)))
    return charts


def plane_of(study: Study, metric: Metric, task: str, panels: Sequence[tuple[float, list[Group]]]) -> Chart:
    with drawing(3.1 * len(panels) + 0.4, 3.6) as figure:
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for place, (sigma, groups) in zip(axes, panels, strict=True):
            for group in groups:
                draw_point(place, study, group, metric)
            errors = [math.sqrt(e) for g in groups if (e := g.mean_squared("mmse_psnr")) > 0]
            if errors:
                place.axvline(math.sqrt(2) * min(errors), color=INK, lw=0.8, ls=(0, (4, 4)), alpha=0.6)
            place.set(title=f"σ0 = {sigma_text(sigma)}", xlabel="distortion: RMS error")
            if metric.better == "higher":
                place.invert_yaxis()
        axes[0].set_ylabel(
            f"{metric.title}: " + ("better downwards" if metric.better == "higher" else "lower is better")
        )
        legend(figure, study, [g for _, groups in panels for g in groups])
        caption = (
            f"{metric.title} against the RMS error, {task}. Filled: samples. Hollow: the MMSE estimate. Cross: the "
            "mean of the samples."
        )
        if any(g.of_cells("mmse_psnr") for _, groups in panels for g in groups):
            caption += " The dashed line is √2 times the least error of an MMSE estimate: exact samples lie there."
        return chart(figure, slug("plane", metric.name, task), caption)


def draw_point(place: Axes, study: Study, group: Group, metric: Metric) -> None:
    """The samples, their mean and the MMSE estimate of one prior and sampler, joined by a line."""
    colour = COLOURS[study.labels.index(group.label) % len(COLOURS)]
    sampler = study.samplers.index(group.sampler) if group.sampler in study.samplers else 0
    marker = MARKERS[sampler % len(MARKERS)]
    points = [
        (math.sqrt(group.mean_squared("mmse_psnr")), group.of_cells(f"mmse_{metric.name}").mean, "none", marker),
        (math.sqrt(group.mean_squared("mean_psnr")), group.of_cells(f"mean_{metric.name}").mean, colour, "x"),
        (math.sqrt(group.mean_squared("psnr")), group.of_rows(metric.name).mean, colour, marker),
    ]
    known = [p for p in points if math.isfinite(p[0]) and math.isfinite(p[1])]
    place.plot([p[0] for p in known], [p[1] for p in known], color=colour, lw=0.8, alpha=0.5)
    for x, y, face, shape in known:
        place.plot(x, y, shape, color=colour, mfc=face, ms=6, mew=1.3)


def legend(figure: Figure, study: Study, groups: Sequence[Group]) -> None:
    """Below: a line for each prior and sampler that is shown."""
    from matplotlib.lines import Line2D

    handles = []
    for label, sampler in dict.fromkeys((g.label, g.sampler) for g in groups):
        colour = COLOURS[study.labels.index(label) % len(COLOURS)]
        marker = MARKERS[(study.samplers.index(sampler) if sampler in study.samplers else 0) % len(MARKERS)]
        name = f"{label} · {sampler}" if sampler else f"{label} (MMSE only)"
        handles.append(
            Line2D([], [], color=colour, marker=marker, ls="", mfc=colour if sampler else "none", label=name)
        )
    figure.legend(handles=handles, loc="outside lower center", ncols=min(3, len(handles)), fontsize=8)


def residuals(of: Shown, most: int = 6) -> Chart | None:
    """Figures 5 and 13: what was removed, its histogram with the fitted normal, and the three tests.

    None where nothing was observed that can be laid beside a picture.
    """
    found = [(g, p) for g, _, p in of.results if len(p.get("samples", ())) and p["observed"].shape == p["clean"].shape][
        :most
    ]
    if not found:
        return None
    both = any("mmse" in p for _, p in found)
    ratio = found[0][1]["clean"].shape[2] / found[0][1]["clean"].shape[1]
    widths = [ratio, 1.35, ratio, 1.35] if both else [ratio, 1.35]
    with drawing(2.2 * sum(widths) * (0.62 if both else 0.8) + 1, 2.05 * len(found) + 0.3) as figure:
        axes = figure.subplots(len(found), len(widths), squeeze=False, width_ratios=widths)
        for line, (group, pictures) in zip(axes, found, strict=True):
            draw_residual(line[:2], of.sigma, pictures, pictures["samples"][0], f"{group.name}\ny − sample")
            if both and "mmse" in pictures:
                draw_residual(line[2:], of.sigma, pictures, pictures["mmse"], "\ny − MMSE estimate")
            elif both:
                for place in line[2:]:
                    place.set_axis_off()
        caption = (
            f"{of.title()}. Black is −4σ0, gray 0, white 4σ0. The curve is the normal distribution of the same mean "
            "and standard deviation; std is over σ0."
        )
        return chart(figure, of.name("residual"), caption)


def draw_residual(places: Sequence[Axes], sigma: float, pictures: dict[str, Any], x: Any, title: str) -> None:
    picture, histogram = places
    residual = (pictures["observed"] - x).numpy().astype(np.float64)
    mask = pictures.get("mask")
    observed = np.broadcast_to(True if mask is None else mask.numpy().astype(bool), residual.shape)
    shown = np.clip(0.5 + np.where(observed, residual, 0) / (8 * sigma), 0, 1).mean(0)
    picture.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="none")
    picture.set_title(title, loc="left", fontsize=8)
    picture.set_axis_off()
    values = residual[observed] / sigma
    tests = residual_tests(residual, sigma, observed)
    edges = np.linspace(-4.5, 4.5, 61)
    histogram.stairs(np.histogram(values, edges, density=True)[0], edges, fill=True, color="#7f9fbf", alpha=0.75)
    grid = np.linspace(-4.5, 4.5, 200)
    mean, std = float(values.mean()), max(float(values.std()), 1e-9)
    normal = np.exp(-0.5 * ((grid - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))
    histogram.plot(grid, normal, color="#d1495b", lw=1.2)
    histogram.set(yticks=[], xlim=(-4.5, 4.5))
    histogram.tick_params(labelsize=7)
    said = f"std {number(tests.std_over_sigma, 3)}\nρ {number(tests.rho, 3)}\np {number(tests.p_value, 3)}"
    histogram.text(0.02, 1, said, fontsize=7.5, va="top", transform=histogram.transAxes)


def pit(study: Study, label: str) -> Chart | None:
    """Where the true pixels lie among a prior's samples: a panel for each task and sampler, a line for each σ0."""
    columns = [f"pit_{i}" for i in range(PIT_BINS)]
    groups = [g for g in study.groups if g.label == label and g.sampler and g.of_cells(columns[0])]
    panels = list(dict.fromkeys((g.task, g.sampler) for g in groups))
    if not panels:
        return None
    across = min(len(panels), PANELS)
    down = math.ceil(len(panels) / across)
    with drawing(max(2.7 * across + 0.3, 4.2), 2.3 * down + 0.3) as figure:
        axes = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
        for place in axes[len(panels) :]:
            place.set_axis_off()
        for place, (task, sampler) in zip(axes, panels, strict=False):
            those = [g for g in groups if (g.task, g.sampler) == (task, sampler)]
            for k, group in enumerate(those):
                heights = [PIT_BINS * group.of_cells(c).mean for c in columns]
                shade = 0.35 + 0.65 * (k + 1) / len(those)
                colour = COLOURS[study.labels.index(label) % len(COLOURS)]
                style = {"color": colour, "alpha": shade, "lw": 1.4, "label": f"σ0 {group.sigma:.3g}"}
                place.stairs(heights, np.linspace(0, 1, PIT_BINS + 1), baseline=None, **style)
            place.axhline(1, color=INK, lw=0.8, ls=(0, (4, 4)))
            place.set(title=f"{task}\n{sampler}", xlim=(0, 1))
            place.set_ylim(bottom=0)
            place.legend(fontsize=7, loc="lower center", ncols=2)
        figure.supxlabel("rank of the true pixel among the samples, from 0 (below all) to 1", fontsize=8)
        axes[0].set_ylabel("density")
        caption = (
            f"{label}: flat at 1 (dashed) for an exact sampler. High at both ends is overconfident, high in the "
            "middle too wide, leaning biased."
        )
        return chart(figure, slug("pit", label), caption)
