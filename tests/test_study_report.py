"""A study's report: its tables say what is true of a study whose truth is known, and its page is whole and readable."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import save_file

from snips_cli.main import main
from snips_cli.study import report_tables
from snips_cli.study.folder import StudyFolder
from snips_cli.study.report import write_report
from snips_cli.study.report_data import Study, average, spread
from snips_cli.study.report_parts import number, sigma_text, slug
from synthetic_study import write_study

METRICS = (
    "psnr",
    "ssim",
    "sliced_wasserstein",
    "residual",
    "mse_ratio",
    "diversity",
    "spread_skill",
    "calibration",
    "ms_ssim",
)
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """What is in a page; raises AssertionError where tags do not close."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.outside: list[str] = []
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag == "a":
            self.links.append(str(given["href"]))
        if tag == "img":
            self.images.append(given)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self.outside += [
            v for k, v in attrs if k in ("src", "href", "xlink:href") and v and not v.startswith(("#", "data:"))
        ]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def line(self, *start: str) -> list[str]:
        """The line of a table that begins so."""
        return next(row for row in self.rows if row[: len(start)] == list(start))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("study") / "s", images=4, spread=0.5, kept=2, metrics=METRICS)


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    return Study.read(StudyFolder.open(folder))


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    return write_report(StudyFolder.open(folder), images=1).page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_groups_come_in_the_order_of_the_study(study: Study) -> None:
    assert [(g.task, g.sigma, g.label) for g in study.groups][:4] == [
        ("denoise", 0.1, "exact"),
        ("denoise", 0.1, "narrow"),
        ("denoise", 0.1, "mmse"),
        ("denoise", 0.2, "exact"),
    ]
    assert study.samplers == ["posterior"]
    assert [task for task, *_ in study.settings(denoising=False)] == ["inpaint mask=box"] * 2


def test_the_tables_tell_an_exact_sampler_from_a_narrow_one(study: Study) -> None:
    exact, narrow = (next(g for g in study.groups if g.label == label) for label in ("exact", "narrow"))
    assert report_tables.ratio(exact) == pytest.approx(2, abs=0.15)
    assert report_tables.ratio(narrow) == pytest.approx(1.25, abs=0.1)  # 1 + ½²
    assert report_tables.spread_over_skill(exact) == pytest.approx(1, abs=0.1)
    assert report_tables.spread_over_skill(narrow) < 0.65
    assert exact.of_cells("coverage_50").mean == pytest.approx(0.5, abs=0.06)
    assert exact.of_rows("residual_std").mean == pytest.approx(1, abs=0.05)
    assert exact.of_rows("psnr").mean == pytest.approx(exact.of_cells("mmse_psnr").mean - 3, abs=0.4)


def test_averages() -> None:
    some = average([1, 3, None, math.nan])
    assert (some.mean, some.error, some.count) == (2, 1, 2)
    assert not average([None])
    assert math.isnan(average([5]).error)
    assert spread(range(10), 3) == [0, 4, 9]
    assert spread([1, 2], 3) == [1, 2]
    assert spread(range(5), 1) == [0]


def test_texts() -> None:
    assert number(-1.26, 1) == "−1.3"
    assert number(math.nan, 2) == "–"
    assert sigma_text(25 / 255) == "0.098 (25/255)"
    assert sigma_text(0.1) == "0.1"
    assert slug("PIT", "BF-CNN · 2/3 σ") == "pit-bf-cnn-2-3-σ"


def test_the_page_needs_nothing_else(page: Page, html: str) -> None:
    assert page.outside == []
    assert not re.search(r"@import|url\((?!#)|<script|<link", html)
    assert html.startswith("<!doctype html>")
    assert "prefers-color-scheme: dark" in html
    assert "Fields <known>" in page.texts
    assert "<known>" not in html


def test_every_link_leads_to_a_section_with_a_sentence_on_how_to_read_it(page: Page, html: str) -> None:
    assert len(page.ids) == len(set(page.ids))
    assert [link.removeprefix("#") for link in page.links] == [
        *("closeness", "looks", "plane", "holes", "denoised", "inpainted", "residual", "diversity", "states"),
        *("calibration", "cost", "study"),
    ]
    assert {link.removeprefix("#") for link in page.links} < set(page.ids)
    assert len(re.findall(r'<p class="how">[^<]{40,}\.</p>', html)) == len(page.links)


def test_the_tables_on_the_page_have_the_figures_of_the_study(page: Page, study: Study) -> None:
    exact = next(g for g in study.groups if g.label == "exact")
    line = page.line("0.1", "exact", "posterior")
    assert line[3:7] == [
        number(exact.of_cells("mmse_psnr").mean, 2),
        number(exact.of_rows("psnr").mean, 2),
        number(exact.of_cells("mean_psnr").mean, 2),
        number(report_tables.ratio(exact), 2),
    ]
    assert page.line("0.1", "mmse")[2:5] == ["MMSE only", line[3], "–"]
    hole = next(g for g in study.groups if g.task != "denoise")
    assert page.line("inpaint mask=box", "0.1", "exact")[4] == number(hole.of_rows("hole_psnr").mean, 2)
    assert page.line("denoise", "exact", "posterior")[3:5] == ["20", "0.375"]


def test_what_failed_was_left_out_and_cannot_be_known_is_said(page: Page) -> None:
    text = "".join(page.texts)
    assert "2 of 4 results are shown" in text
    assert "1 cell failed" in text
    assert "snips study run 'my fields.toml'" in text
    assert "1 × boom & <bang>" in text
    assert "1 × an MMSE estimate only denoises" in text
    assert "Not known here: MS-SSIM needs pictures of 176 pixels a side, and these have 16." in text


def test_pictures_are_exact_and_loaded_when_seen(page: Page, study: Study) -> None:
    assert all(image["loading"] == "lazy" and image["alt"] for image in page.images)
    group = study.groups[0]
    clean = study.kept(group, "field-0")[1]["clean"]
    first = next(i for i in page.images if i["alt"] == "clean")
    shown = Image.open(io.BytesIO(base64.b64decode(str(first["src"]).partition(",")[2])))
    assert np.array_equal(np.asarray(shown.convert("L")), np.rint(255 * clean[0].numpy().clip(0, 1)).astype(np.uint8))


def test_charts_take_the_colour_of_the_page_and_names_of_their_own(html: str) -> None:
    charts = re.findall(r"<svg\b.*?</svg>", html, re.DOTALL)
    assert len(charts) >= 5
    for chart in charts:
        assert "currentColor" in chart
        assert 'role="img"' in chart
        ids = set(re.findall(r'\bid="([^"]+)"', chart))
        assert set(re.findall(r"url\(#([^)]+)\)", chart)) | set(re.findall(r'href="#([^"]+)"', chart)) <= ids


def test_figures_are_files_too(folder: Path, html: str) -> None:
    names = {path.name for path in (folder / "figures").iterdir()}
    assert {"pit-exact.png", "pit-exact.svg", "plane-sliced_wasserstein-denoise.svg"} <= names
    assert {"outputs-denoise-0.1-field-0.png", "diversity-denoise-0.2-field-0.png"} <= names
    assert {"residual-inpaint-mask-box-0.1-field-0.png", "states-denoise-0.1-field-0.png"} <= names
    for path in (folder / "figures").glob("*.png"):
        assert min(Image.open(path).size) > 100
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]


def report(*words: object) -> Result:
    return CliRunner().invoke(main, ["study", "report", *map(str, words)])


def test_only_sections_that_there_is_something_for(tmp_path: Path) -> None:
    small = write_study(tmp_path / "s", images=1, samples=2, sigmas=(0.1,), kept=0, metrics=("psnr",))
    result = report(small, "--out", tmp_path / "page" / "small.html")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{tmp_path / 'page' / 'small.html'}\n"
    page = Page((tmp_path / "page" / "small.html").read_text(encoding="utf-8"))
    assert page.links == ["#closeness", "#holes", "#calibration", "#cost", "#study"]
    assert not (small / "report.html").exists()
    before = (tmp_path / "page" / "small.html").read_bytes()
    assert report(small, "--out", tmp_path / "page" / "small.html").exit_code == 0
    assert (tmp_path / "page" / "small.html").read_bytes() == before


def test_sets_of_pictures_are_compared_by_their_features(tmp_path: Path) -> None:
    folder = StudyFolder.open(
        write_study(tmp_path / "s", images=12, samples=2, sigmas=(0.1,), kept=0, metrics=("psnr",))
    )
    about = folder.read()
    about["spec"]["metrics"].append("kid")
    (folder.path / "study.json").write_text(json.dumps(about), encoding="utf-8")
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(12, 4, generator=generator)
    for id, index, samples in folder.cells().query("status == 'ok'")[["cell", "image_index", "samples"]].to_numpy():
        seen = {"clean": clean[index][None], "mmse": 0.2 * clean[index][None]}
        if samples:
            seen["samples"] = torch.randn(2, 4, generator=generator)
        folder.place(id).mkdir(parents=True)
        save_file({f"feature.alex.{whose}": x for whose, x in seen.items()}, folder.place(id) / "pictures.safetensors")
    page = Page(write_report(folder).page.read_text(encoding="utf-8"))
    assert "#sets" in page.links
    study = Study.read(folder)
    seen = study.features(study.groups[0], "alex")
    assert {whose: x.shape for whose, x in seen.items()} == {
        "clean": (12, 4),
        "samples": (12, 2, 4),
        "mmse": (12, 1, 4),
    }
    head = ("denoise", "0.1", "exact", "posterior")
    of_samples, of_mmse, fid_samples = map(as_number, page.line(*head)[4:7])
    assert of_mmse > 2 * abs(of_samples)
    assert fid_samples > 0
    assert page.line(*head)[-1] == "12"
    assert page.line("denoise", "0.1", "mmse", "MMSE only")[4] == "–"


def as_number(text: str) -> float:
    return float(text.replace("−", "-"))


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = report(tmp_path / "empty")
    assert result.exit_code == 1
    assert "no study" in result.output
    assert result.output.count("\n") == 1


def test_a_study_without_results_has_nothing_to_report(tmp_path: Path, folder: Path) -> None:
    import pandas as pd

    cells = pd.read_parquet(folder / "cells.parquet")
    cells[cells["status"] != "ok"].to_parquet(tmp_path / "cells.parquet")
    pd.read_parquet(folder / "rows.parquet").iloc[:0].to_parquet(tmp_path / "rows.parquet")
    (tmp_path / "study.json").write_text((folder / "study.json").read_text())
    result = report(tmp_path)
    assert result.exit_code == 1
    assert "no cell is finished yet" in result.output
    assert not (tmp_path / "report.html").exists()
