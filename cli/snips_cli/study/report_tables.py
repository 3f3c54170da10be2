"""The tables of a report: closeness, looks, sets of pictures, holes, calibration and cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from snips.featuresets import frechet_distance, kernel_distance
from snips_cli.study.metrics import BY_NAME, FEATURES, Metric
from snips_cli.study.report_data import Group, Study
from snips_cli.study.report_parts import Table, Value, number, sigma_text, value

FEWEST = 10
"""Pictures that a set needs."""

NO_SAMPLER = "MMSE only"


def closeness(study: Study) -> list[Table]:
    """The paper's Table 1, a line for each prior and sampler."""
    head = [
        "σ0",
        "prior",
        "sampler",
        "PSNR of MMSE",
        "of samples",
        "of their mean",
        "MSE ratio",
        "SSIM of MMSE",
        "of samples",
    ]
    rows: list[list[Value]] = []
    for _, sigma, groups in study.settings(denoising=True):
        best = best_of(groups, lambda g: g.of_cells("mmse_psnr").mean)
        nearest = best_of(groups, lambda g: -abs(ratio(g) - 2))
        rows += [
            [
                *named(group, sigma),
                value(group.of_cells("mmse_psnr"), 2, group in best),
                value(group.of_rows("psnr"), 2),
                value(group.of_cells("mean_psnr"), 2),
                Value(number(ratio(group), 2), group in nearest),
                value(group.of_cells("mmse_ssim"), 3),
                value(group.of_rows("ssim"), 3),
            ]
            for group in groups
        ]
    return without_empty(head, rows)


def ratio(group: Group) -> float:
    """Squared error of the samples over that of the MMSE estimate, each averaged over the pictures first."""
    best = group.mean_squared("mmse_psnr")
    return group.mean_squared("psnr") / best if best > 0 else math.nan


def looks(study: Study) -> list[Table]:
    """The paper's Table 4 for every perceptual metric that was measured: samples, MMSE estimate, improvement."""
    chosen = [BY_NAME[name] for name in study.metrics() if name in BY_NAME and BY_NAME[name].perceptual]
    tables = []
    for metric in chosen:
        of_samples = partial(signed, metric)
        rows: list[list[Value]] = []
        for _, sigma, groups in study.settings(denoising=True):
            best = best_of(groups, of_samples)
            for group in groups:
                sample, mmse = group.of_rows(metric.name), group.of_cells(f"mmse_{metric.name}")
                if sample or mmse:
                    figures = [
                        value(sample, 3, group in best),
                        value(mmse, 3),
                        Value(gain(metric, sample.mean, mmse.mean)),
                    ]
                    rows.append([*named(group, sigma), *figures, value(group.of_cells(f"mean_{metric.name}"), 3)])
        head = [
            "σ0",
            "prior",
            "sampler",
            f"{metric.title} of samples",
            "of MMSE",
            "improvement",
            "of the samples' mean",
        ]
        better = "the higher the better" if metric.better == "higher" else "the lower the better"
        tables += without_empty(head, rows, f"{metric.title}: {metric.says} {better.capitalize()}.")
    return tables


def signed(metric: Metric, group: Group) -> float:
    """The figure of the samples, larger for better."""
    return group.of_rows(metric.name).mean * (1 if metric.better == "higher" else -1)


def gain(metric: Metric, sample: float, mmse: float) -> str:
    """How much better the samples are than the MMSE estimate: of a distance, the share that is gone."""
    if math.isnan(sample) or math.isnan(mmse):
        return "–"
    if metric.better == "lower":
        return f"{number(100 * (mmse - sample) / mmse, 0)}%" if mmse > 0 else "–"
    return f"{'+' if sample > mmse else ''}{number(sample - mmse, 3)}"


def sets(study: Study) -> list[Table]:
    """KID and FID of samples and MMSE estimates, where features were kept of enough pictures."""
    head = [
        "task",
        "σ0",
        "prior",
        "sampler",
        "KID of samples × 1000",
        "of MMSE × 1000",
        "FID of samples",
        "of MMSE",
        "pictures",
    ]
    rows = []
    for denoising in (True, False):
        for task, sigma, groups in study.settings(denoising):
            for group in groups:
                seen = study.features(group, FEATURES)
                count = len(seen.get("clean", ()))
                if count >= FEWEST:
                    distances = [
                        Value(number(scale * set_distance(distance, seen, whose), 2))
                        for distance, scale in ((kernel_distance, 1000), (frechet_distance, 1))
                        for whose in ("samples", "mmse")
                    ]
                    rows.append([Value(task, head=True), *named(group, sigma), *distances, Value(str(count))])
    return without_empty(
        head, rows, "Lower is better; 0 is expected of the clean pictures' own law, so KID may be negative."
    )


def set_distance(distance: Callable[[Any, Any], float], seen: dict[str, Any], whose: str) -> float:
    """From the clean pictures, of a set with one sample of each picture, averaged over such sets."""
    if whose not in seen:
        return math.nan
    return float(np.mean([distance(seen["clean"], one) for one in np.moveaxis(seen[whose], 1, 0)]))


def holes(study: Study) -> list[Table]:
    """Tasks other than denoising: closeness on the missing pixels, or on all where none is missing."""
    head = [
        "task",
        "σ0",
        "prior",
        "sampler",
        "PSNR in the hole: samples",
        "their mean",
        "diversity there",
        "PSNR, all pixels",
    ]
    rows: list[list[Value]] = []
    for task, sigma, groups in study.settings(denoising=False):
        best = best_of(groups, lambda g: (g.of_cells("mean_hole_psnr") or g.of_cells("mean_psnr")).mean)
        rows += [
            [
                Value(task, head=True),
                *named(group, sigma),
                value(group.of_rows("hole_psnr"), 2),
                value(group.of_cells("mean_hole_psnr"), 2, group in best),
                value(group.of_cells("hole_diversity"), 3),
                value(group.of_rows("psnr"), 2),
            ]
            for group in groups
        ]
    return without_empty(head, rows)


def calibration(study: Study, label: str) -> list[Table]:
    """The calibration card of one prior: each line a setting, each column what an exact sampler has in its head."""
    head = ["task", "σ0", "sampler", "MSE ratio: 2", "spread / skill: 1", "50% band: .500", "90% band: .900"]
    head += ["residual std / σ0: 1", "|ρ|: 0", "share of p < .05: .05", "diversity"]
    rows = []
    for group in (g for g in study.groups if g.label == label and g.sampler):
        p = group.values("residual_p")
        low = float((p < 0.05).mean()) if len(p) else math.nan
        rho = abs(group.values("residual_rho"))
        rows.append(
            [
                Value(group.task, head=True),
                Value(sigma_text(group.sigma), head=True),
                Value(group.sampler, head=True),
                judged(ratio(group), 2, 2, 0.15),
                judged(spread_over_skill(group), 1, 2, 0.1),
                judged(group.of_cells("coverage_50").mean, 0.5, 3, 0.05),
                judged(group.of_cells("coverage_90").mean, 0.9, 3, 0.04),
                judged(group.of_rows("residual_std").mean, 1, 3, 0.02),
                judged(float(rho.mean()) if len(rho) else math.nan, 0, 3, 0.03),
                Value(number(low, 2)),
                value(group.of_cells("diversity"), 3),
            ]
        )
    return without_empty(head, rows)


def judged(figure: float, exact: float, digits: int, slack: float) -> Value:
    """A figure, marked where it is as near to the exact one as `slack`."""
    return Value(number(figure, digits), not math.isnan(figure) and abs(figure - exact) <= slack)


def spread_over_skill(group: Group) -> float:
    """Both as root mean squares over all the pictures; the spread from the diversity, which is √2 of it."""
    cells, error = group.cells, group.mean_squared("mean_psnr")
    if "diversity" not in cells or not error > 0:
        return math.nan
    known = cells.dropna(subset=["diversity"])
    if known.empty:
        return math.nan
    n = known["samples"].to_numpy(dtype=float)
    variance = known["diversity"].to_numpy(dtype=float) ** 2 / 2
    return math.sqrt(float(((n + 1) / n * variance).mean()) / error)


def cost(study: Study) -> list[Table]:
    """Denoiser calls and seconds, a line for each task, prior and sampler."""
    head = [
        "task",
        "prior",
        "sampler",
        "NFE a sample",
        "seconds a sample",
        "in the denoiser",
        "measuring",
        "pictures",
        "device",
    ]
    rows = []
    for task in study.tasks:
        for key in dict.fromkeys((g.label, g.sampler) for g in study.groups if g.task == task):
            groups = [g for g in study.groups if g.task == task and (g.label, g.sampler) == key]
            cells = [g.cells for g in groups]
            drawn = sum(float(c["samples"].sum()) for c in cells)
            whole = total(cells, "seconds")
            nfe = sorted({int(n) for c in cells for n in c["nfe"].dropna() if n > 0})
            rows.append(
                [
                    Value(task, head=True),
                    Value(key[0], head=True),
                    Value(key[1] or NO_SAMPLER, head=True),
                    Value((f"{nfe[0]} to {nfe[-1]}" if len(nfe) > 1 else f"{nfe[0]}") if nfe else "–"),
                    Value(number(total(cells, "seconds_sampling") / drawn, 3) if drawn else "–"),
                    Value(share(total(cells, "seconds_denoiser"), whole)),
                    Value(share(total(cells, "seconds_measuring"), whole)),
                    Value(str(sum(len(c) for c in cells))),
                    Value(", ".join(dict.fromkeys(str(d) for c in cells for d in c["device"]))),
                ]
            )
    return without_empty(head, rows)


def total(cells: Sequence[Any], column: str) -> float:
    return sum(float(c[column].sum()) for c in cells if column in c)


def share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f}%" if whole > 0 else "–"


def named(group: Group, sigma: float) -> list[Value]:
    return [
        Value(sigma_text(sigma), head=True),
        Value(group.label, head=True),
        Value(group.sampler or NO_SAMPLER, head=True),
    ]


def best_of(groups: Sequence[Group], key: Callable[[Group], float]) -> list[Group]:
    """Those of the largest known value, as it is printed, if there is something to choose from."""
    known = {g: key(g) for g in groups if not math.isnan(key(g))}
    best = max(known.values(), default=math.nan)
    chosen = [g for g, figure in known.items() if figure > best - 5e-4]
    return chosen if len(chosen) < len(known) else []


def without_empty(head: Sequence[str], rows: Sequence[Sequence[Value]], caption: str = "") -> list[Table]:
    """The table without columns in which nothing is known; none if there are no lines."""
    used = [i for i in range(len(head)) if any(row[i].text != "–" for row in rows)]
    return [Table([head[i] for i in used], [[row[i] for i in used] for row in rows], caption)] if rows else []
