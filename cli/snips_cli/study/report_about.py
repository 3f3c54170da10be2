"""What a study was made of: its priors, metrics, pictures and runs, and what failed or was left out."""

from __future__ import annotations

import json
import math
import shlex
from typing import Any

from snips_cli.study.metrics import BY_NAME
from snips_cli.study.report_data import Study
from snips_cli.study.report_parts import Note, Part, Table, Value


def about(study: Study) -> list[Part]:
    parts: list[Part] = [
        priors(study),
        metrics_measured(study),
        pictures(study),
    ]
    failed, skipped = study.with_status("failed"), study.with_status("skipped")
    for frame, what in ((failed, "failed"), (skipped, "left out")):
        if len(frame):
            reasons = frame.groupby("error", sort=False).size().items()
            items = [f"{count} × {reason}" for reason, count in reasons]
            parts.append(Note(f"{len(frame)} cell{'s' if len(frame) > 1 else ''} {what}", items))
    for run in study.about.get("runs", []):
        versions = ", ".join(f"{name} {version}" for name, version in (run.get("versions") or {}).items())
        parts.append(
            Note(
                f"Run of {run.get('started', '?')} on {run.get('device', '?')}",
                [shlex.join(run.get("command", [])), versions],
            )
        )
    return parts


def priors(study: Study) -> Table:
    """What each prior is."""
    head = ["prior", "denoiser", "options", "made for σ", "channels", "licence", "weights (SHA-256)"]
    rows = []
    for prior in study.about["priors"]:
        card, levels = prior.get("card") or {}, prior.get("noise_levels") or {}
        channels = prior.get("channels") or []
        rows.append(
            [
                Value(prior["label"], head=True),
                Value(prior["denoiser"], note=str(card.get("summary", ""))),
                Value(in_words(prior.get("options") or {})),
                Value(range_in_words(levels)),
                Value(", ".join(map(str, channels)) or "any"),
                Value(str(card.get("licence", "")) or "–"),
                Value(str(prior.get("weights_sha256") or "–")[:12], note=str(prior.get("weights_sha256") or "")),
            ]
        )
    return Table(head, rows)


def range_in_words(levels: dict[str, Any]) -> str:
    if not levels:
        return "–"
    only = levels.get("only") or []
    high = levels.get("high")
    unlimited = high is None or not math.isfinite(float(high))
    text = (
        ", ".join(f"{s:.3g}" for s in only) or f"{levels.get('low', 0):.3g} to {'any' if unlimited else f'{high:.3g}'}"
    )
    return f"{text}, blind" if levels.get("blind") else text


def in_words(options: dict[str, Any] | str) -> str:
    """Options as key=value; of paths, the file's name."""
    given = json.loads(options) if isinstance(options, str) else options
    return ", ".join(f"{k}={str(v).rpartition('/')[2]}" for k, v in given.items()) or "–"


def pictures(study: Study) -> Table:
    """What the pictures are, at most 20 of them."""
    images = study.about["images"]
    rows = [
        [
            Value(image["image"], head=True),
            Value(str(image["source"]).rpartition("/")[2], note=str(image["source"])),
            Value(f"{image['width']} × {image['height']}, {'gray' if image['channels'] == 1 else 'colour'}"),
        ]
        for image in images[:20]
    ]
    more = f"and {len(images) - 20} more, in study.json" if len(images) > 20 else ""
    return Table(["picture", "source", "pixels"], rows, more)


def metrics_measured(study: Study) -> Table:
    """What each metric means, and why some of it is not known here."""
    largest = max((min(i["height"], i["width"]) for i in study.about["images"]), default=0)
    most = int(study.finished["samples"].max()) if len(study.finished) else 0
    denoising = any(g.denoising for g in study.groups)
    rows = []
    for metric in (BY_NAME[name] for name in study.metrics() if name in BY_NAME):
        aim = {"higher": "higher", "lower": "lower", None: ""}[metric.better]
        aim = f"near {metric.target:g}" if metric.target is not None else aim
        unknown = metric.unknown(largest, most, denoising)
        rows.append([Value(metric.title, head=True), Value(metric.unit or "–"), Value(aim or "–"), Value(metric.says)])
        if unknown:
            rows[-1][3] = Value(f"{metric.says} Not known here: {unknown}.")
    return Table(["metric", "unit", "better", "meaning"], rows)
