"""study.json: the study, what it is known by, and what was learnt of it before it ran; and back again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from typing import Any

from snips_cli.jsons import dumps
from snips_cli.study.grid import Grid
from snips_cli.study.pictures import Image
from snips_cli.study.spec import Spec
from snips_cli.study.survey import Plan, Survey
from snips_cli.study.toml import as_table, table

SETTING = ("label", "task_label", "sampler_label", "sigma", "shape")
"""What a setting is known by."""


def study_record(survey: Survey) -> dict[str, Any]:
    """All of study.json but the runs."""
    spec, grid = survey.grid.spec, survey.grid
    asked = asked_for(grid)
    cost = survey.cost()
    return {
        "format": 1,
        "name": spec.name,
        "identity": hashlib.sha256(dumps(asked).encode()).hexdigest(),
        "asked": asked,
        "spec": as_table(spec),
        "priors": list(survey.priors),
        "tasks": [{"label": p.label, "task": p.name, "options": dict(p.options)} for p in spec.tasks],
        "samplers": [{"label": p.label, "sampler": p.name, "options": dict(p.options)} for p in grid.samplers()],
        "images": [
            {"image": image.name, "channels": image.shape[0], "height": image.shape[1], "width": image.shape[2]}
            | {key: value for key, value in asdict(image).items() if key not in ("name", "index", "shape")}
            for image in grid.images
        ],
        "settings": [dict(zip(SETTING, key, strict=True)) | asdict(plan) for key, plan in survey.plans.items()],
        "cells": cost.cells,
        "nfe": cost.nfe,
        "estimated_seconds": cost.seconds,
    }


def asked_for(grid: Grid) -> dict[str, Any]:
    """What makes this study this one and no other: everything that a result depends on, files by their content."""
    said = as_table(grid.spec)
    for key in ("name", "priors", "tasks", "samplers", "images", "batch", "on_incompatible"):
        said.pop(key, None)
    pictures = hashlib.sha256("\n".join(f"{image.name} {image.sha256}" for image in grid.images).encode())
    images = f"{len(grid.images)} pictures {pictures.hexdigest()[:16]}"
    return {**grid.prints, **said, "images": images, "snips": metadata.version("snips-toolkit")}


def survey_of(study: Mapping[str, Any]) -> Survey:
    """The survey that study.json tells of."""
    spec: Spec = table(Spec)(study["spec"], "study.json")
    images = tuple(
        Image(
            name=image["image"],
            index=index,
            shape=(image["channels"], image["height"], image["width"]),
            **{key: image[key] for key in ("source", "size", "crop", "gray", "sha256")},
        )
        for index, image in enumerate(study["images"])
    )
    prints = {key: value for key, value in study["asked"].items() if key.startswith(("prior ", "task ", "sampler "))}
    plans = {
        (*(one[key] for key in SETTING[:-1]), tuple(one["shape"])): Plan(
            **{key: one[key] for key in ("nfe", "seconds", "reason", "kind")}
        )
        for one in study["settings"]
    }
    return Survey(Grid(spec, images, prints), plans, tuple(study["priors"]))
