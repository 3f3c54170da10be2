"""`snips bench psnr`: means over sets, the same noise for all, results that are kept and gone on from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

import snips
from snips.errors import OptionError
from snips.images import read_picture, write_png
from snips_cli import bench_psnr
from snips_cli.cleansets import read_sets
from snips_cli.main import main
from snips_cli.spec import parse


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five gray pictures a.png … e.png in `gray`, and a colour one in `colour`."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for folder in ("gray", "colour"):
        Path(folder).mkdir()
    for name in "edcba":
        write_png(f"gray/{name}.png", rng.random((1, 12, 10)))
    Path("gray/notes.txt").write_text("not a picture")
    write_png("colour/one.png", rng.random((3, 9, 16)))
    return tmp_path


def bench(*words: object) -> Result:
    return CliRunner().invoke(main, ["bench", "psnr", *map(str, words)])


def rows(result: Result) -> list[list[str]]:
    """Denoiser, pictures, then the figures, line by line."""
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.splitlines() if line.startswith("|") and "(" in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def expected(name: str, sigma: float, seed: int = 0) -> float:
    """By the formula, from the noise that the command says it adds."""
    index = "abcde".index(name)
    clean = torch.from_numpy(read_picture(f"gray/{name}.png"))
    noisy = clean + sigma * snips.Noise(seed, [(index, 0)], clean.shape).normal()[0]
    error = snips.denoise(snips.load_denoiser("gaussian-field"), noisy, sigma) - clean
    return float(-10 * error.double().square().mean().log10())


@pytest.mark.parametrize(("every", "names"), [(1, "abcde"), (2, "ace"), (5, "a")])
def test_the_mean_over_the_pictures_each_with_its_own_noise(pictures: Path, every: int, names: str) -> None:
    (seen,) = rows(bench("gray", "--denoiser", "gaussian-field", "--sigma", "0.1", "--sigma", "0.4", "--every", every))
    assert seen[:2] == ["gaussian-field", f"gray ({len(names)})"]
    for sigma, figure in zip((0.1, 0.4), seen[2:], strict=True):
        mean = np.mean([expected(name, sigma) for name in names])
        assert float(figure) == pytest.approx(mean, abs=0.0051)
    assert rows(bench("gray", "--denoiser", "gaussian-field", "--sigma", "0.1", "--seed", 1))[0][2] != seen[2]


def test_each_denoiser_on_the_sets_of_its_kind(pictures: Path) -> None:
    words = ("gray", "colour", "--denoiser", "ncsnv2", "--denoiser", "tv:workers=1", "--sigma", "0.1")
    assert [row[:2] for row in rows(bench(*words))] == [
        ["ncsnv2", "colour (1)"],
        ["tv workers=1", "gray (5)"],
        ["tv workers=1", "colour (1)"],
    ]
    assert [row[1] for row in rows(bench(*words[:2], *words[4:], "--gray", "--crop", 8))] == ["gray (5)", "colour (1)"]


def test_beyond_the_range_there_is_no_figure_or_a_policy_which_is_said(pictures: Path) -> None:
    words = ("gray", "--denoiser", "tv", "--sigma", "0.5", "--sigma", "2")
    (plain,) = rows(bench(*words))
    (scaled,) = rows(bench(*words, "--out-of-range", "scale"))
    assert plain[3] == "–"
    assert scaled[2] == plain[2]
    assert re.fullmatch(r"-?\d+\.\d\d scale", scaled[3])


def test_what_is_in_the_results_is_not_measured_again(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []
    real = bench_psnr.measure

    def counted(job, picture, sigma, seed):  # type: ignore[no-untyped-def]
        measured.append(picture.name)
        if len(measured) == 3:
            raise KeyboardInterrupt
        return real(job, picture, sigma, seed)

    monkeypatch.setattr(bench_psnr, "measure", counted)
    words = ("gray", "--denoiser", "gaussian-field", "--sigma", "0.1", "--results", "results.jsonl", "--ssim")
    assert bench(*words).exit_code == 130
    kept = Path("results.jsonl").read_text()
    assert [json.loads(line)["picture"] for line in kept.splitlines()] == ["a", "b"]
    Path("results.jsonl").write_text(kept[:-30])  # cut short: b is measured again
    shown = rows(bench(*words))
    assert measured == [*"abc", *"bcde"]
    assert rows(bench(*words)) == shown
    assert len(measured) == 7
    assert len(shown) == 2
    rows(bench(*words, "--seed", 1))
    assert len(measured) == 12


def test_another_version_of_a_denoiser_is_measured_anew(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("gray", "--denoiser", "any:weights=net.pth", "--sigma", "0.1", "--results", "results.jsonl")
    seen = []
    for power in (2.0, 1.0, 2.0):
        made = snips.analytic.PowerLawField(power=power)
        monkeypatch.setattr(snips, "load_denoiser", lambda name, made=made, **options: made)
        seen += rows(bench(*words))
    assert seen[0] == seen[2] != seen[1]
    assert len(Path("results.jsonl").read_text().splitlines()) == 10


def test_a_folder_of_both_kinds_and_the_bundled_pictures(pictures: Path) -> None:
    Path("colour/one.png").rename("gray/one.png")
    assert [(s.name, len(s.pictures)) for s in read_sets(["gray"])] == [("gray, gray", 5), ("gray, colour", 1)]
    bundled = read_sets([], crop=16)
    assert [[p.name for p in s.pictures] for s in bundled] == [["camera", "coins"], ["astronaut", "chelsea"]]
    assert {p.x.shape for s in bundled for p in s.pictures} == {(1, 16, 16), (3, 16, 16)}
    assert all(p.x.min() >= 0 and p.x.max() <= 1 for s in bundled for p in s.pictures)


def test_a_denoiser_in_one_word() -> None:
    assert parse("bm3d").options == {}
    spec = parse("mine:dncnn:weights=a_15.pth,b=25.pth,sigma=15/255,25/255")
    assert (spec.name, spec.options) == ("mine:dncnn", {"weights": "a_15.pth", "b": "25.pth", "sigma": "15/255,25/255"})
    spec = parse("dncnn:weights=x/a_15.pth,y/b_25.pth")
    assert spec.options == {"weights": "x/a_15.pth,y/b_25.pth"}
    assert spec.label == "dncnn a_15.pth,b_25.pth"
    with pytest.raises(OptionError, match="NAME:KEY=VALUE"):
        parse("")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none"], "none: no such folder"),
        (["gray/a.png"], "gray/a.png: not a folder"),
        (["."], "holds no pictures"),
        (["gray", "--denoiser", "ncsnv2"], "ncsnv2 takes pictures of 3 channels, and none are given"),
        (["gray", "--sigma", "-1"], "--sigma -1: not a positive number"),
        (["gray", "--denoiser", "tv", "--crop", 99], "--crop 99: a has only 10 pixels"),
        (["gray", "--denoiser", "tvv"], "did you mean tv"),
        (["gray", "--denoiser", "tv:strenght=3"], "has no option strenght"),
        (["gray", "--denoiser", "tv", "--results", "no/such.jsonl"], "cannot write no/such.jsonl"),
    ],
)
def test_bad_input_is_one_line(pictures: Path, words: list[object], message: str) -> None:
    result = bench(*words)
    assert result.exit_code in (1, 2)
    assert message in result.output
    assert result.output.strip().count("\n") == 0
