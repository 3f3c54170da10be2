"""A study's report: one page that needs nothing else, and its figures as files beside it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from snips.errors import OutputError
from snips.files import cannot_write, new_file, new_folder
from snips_cli.study import figures, report_pictures, report_tables
from snips_cli.study.extra import need
from snips_cli.study.folder import StudyFolder
from snips_cli.study.report_about import about
from snips_cli.study.report_data import Study
from snips_cli.study.report_parts import Chart, Grid, Note, Part, Section
from snips_cli.study.report_texts import SECTIONS

PAGE = "report.html"


@dataclass(frozen=True)
class Report:
    """Where the page and its figures are."""

    page: Path
    figures: Path
    sections: int


def write_report(folder: StudyFolder, out: Path | None = None, images: int = 2) -> Report:
    """Write the page of a study, as far as that has come.

    Args:
        out: the page; by default report.html in the study's folder.
        images: at most so many pictures are shown in each section and setting.

    Raises OutputError if nothing has been measured yet or the page cannot be written, MissingExtra.
    """
    for module in ("pandas", "matplotlib", "jinja2"):
        need(module)
    study = Study.read(folder)
    if study.finished.empty:
        raise OutputError(f"{folder.path}: no cell is finished yet, so there is nothing to report")
    page = out or folder.path / PAGE
    beside = page.with_name("figures") if page.name == PAGE else page.with_name(f"{page.stem}-figures")
    sections = list(make_sections(study, images))
    html = render(study, sections)
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(page, error) from error
    write_figures(beside, [part for section in sections for part in section.parts])
    with new_file(page) as hidden:
        hidden.write_text(html, encoding="utf-8")
    return Report(page, beside, len(sections))


def make_sections(study: Study, images: int) -> Iterator[Section]:
    """Those for which there is something to show, in reading order."""
    denoised = list(report_pictures.shown(study, True, images))
    filled = list(report_pictures.shown(study, False, images))
    each = first_of_each([*denoised, *filled])
    parts: dict[str, Sequence[Part | None]] = {
        "closeness": report_tables.closeness(study),
        "looks": report_tables.looks(study),
        "plane": figures.plane(study),
        "sets": report_tables.sets(study),
        "holes": report_tables.holes(study),
        "denoised": [*report_pictures.left_out(study, True, denoised), *map(report_pictures.outputs, denoised)],
        "inpainted": [*report_pictures.left_out(study, False, filled), *map(report_pictures.outputs, filled)],
        "residual": [figures.residuals(of) for of in each],
        "diversity": [report_pictures.differences(of) for of in each],
        "states": [report_pictures.intermediate(study, of) for of in each],
        "calibration": [part for label in study.labels for part in card(study, label)],
        "cost": report_tables.cost(study),
        "study": about(study),
    }
    for id, (title, how) in SECTIONS.items():
        there = [part for part in parts[id] if part is not None]
        if there:
            yield Section(id, title, how, there)


def first_of_each(shown: list[report_pictures.Shown]) -> list[report_pictures.Shown]:
    """One picture for each task and σ0."""
    return list({(of.task, of.sigma): of for of in reversed(shown)}.values())[::-1]


def card(study: Study, label: str) -> Iterator[Part]:
    """A prior's calibration."""
    tables = report_tables.calibration(study, label)
    if tables:
        yield Note(label, heading=True)
        yield from tables
        if histogram := figures.pit(study, label):
            yield histogram


def render(study: Study, sections: list[Section]) -> str:
    """The page. Texts are escaped; drawings and pictures are within it."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(PAGE).render(
        name=study.about["name"],
        sections=sections,
        facts=facts(study),
        version=metadata.version("snips-toolkit"),
        identity=study.about["identity"],
    )


def facts(study: Study) -> list[tuple[str, str]]:
    """The size of the study, for its head."""
    finished = study.finished
    known: list[tuple[Any, str]] = [
        (len(study.labels), "priors"),
        (len(study.tasks), "tasks"),
        (len(study.samplers), "samplers"),
        (finished["sigma"].nunique(), "noise levels"),
        (finished["image"].nunique(), "pictures"),
        (int(finished["samples"].sum()), "samples drawn"),
        (len(finished), f"of {len(study.cells) - len(study.with_status('skipped'))} cells finished"),
    ]
    return [(f"{count:,}", what if count != 1 else what.removesuffix("s")) for count, what in known]


def write_figures(folder: Path, parts: list[Part]) -> None:
    """All charts as SVG and PNG, and grids as PNG, in a new folder in the place of an older one. Raises OutputError."""
    hidden = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(hidden, ignore_errors=True)
    with new_folder(hidden) as place:
        for part in parts:
            if isinstance(part, Chart):
                (place / f"{part.name}.svg").write_text(part.svg, encoding="utf-8")
                (place / f"{part.name}.png").write_bytes(part.png)
            elif isinstance(part, Grid):
                report_pictures.as_picture(part).save(place / f"{part.name}.png")
    try:
        if folder.exists():
            shutil.rmtree(folder)
        hidden.rename(folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
