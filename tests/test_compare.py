"""snips compare: a small study from the command line, its table and its picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from runs import everything
from snips_cli.main import main

pytest.importorskip("pyarrow", reason="needs the extra study")

from snips_cli.study.folder import StudyFolder

QUICK = ["--sampler", "langevin", "-s", "ratio=0.7", "--device", "cpu", "--crop", "12"]


def compare(*words: object) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, words), *QUICK])


def test_priors_are_compared_and_the_folder_is_a_studys(here):
    result = compare("gaussian-field", "gaussian-field:power=1.0", "gray.png", "--sigma", 0.1, "--samples", 2)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "runs/compare/compare.png"
    cells, rows = StudyFolder.open("runs/compare").cells(), StudyFolder.open("runs/compare").rows()
    assert list(cells.label) == ["gaussian-field", "gaussian-field power=1.0"]
    table = [line for line in result.stdout.splitlines() if line.startswith(" gaussian-field")]
    for (_, cell), line in zip(cells.iterrows(), table, strict=True):
        samples = rows[rows.cell == cell.cell].psnr.mean()
        assert f" {cell.mmse_psnr:.2f} " in line
        assert f" {samples:.2f} " in line
        assert f" {cell.nfe} " in line
    assert json.loads(Path("runs/compare/study.json").read_text())["runs"][0]["command"][:2] == ["snips", "compare"]
    assert compare("gaussian-field", "gray.png").stdout.splitlines()[-1] == "runs/compare-2/compare.png"


def test_a_row_of_the_picture_for_every_prior(here):
    heights = []
    for priors in (["gaussian-field"], ["gaussian-field", "gaussian-mixture"]):
        out = f"of-{len(priors)}"
        assert compare(*priors, "gray.png", "--samples", 2, "--out", out).exit_code == 0
        heights.append(Image.open(f"{out}/compare.png").size[1])
    assert heights[1] - heights[0] > 200  # one row of tiles more


def test_inpainting_of_several_pictures_at_several_levels(here):
    words = ["gaussian-field", "gray.png", "colour.png", "--task", "inpaint", "-t", "mask=box", "--samples", 2]
    result = compare(*words, "--sigma", 0.1, "--sigma", "51/255", "--out", "first")
    assert result.exit_code == 0, result.output
    names = [f"compare-{image}-{sigma}.png" for image in ("gray", "colour") for sigma in ("0.1", "0.2")]
    assert [Path(line).name for line in result.stdout.splitlines()[-4:]] == names
    assert all((Path("first") / name).is_file() for name in names)
    assert "hole" in result.stdout
    assert "mmse" not in result.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["gray.png"], "name the denoisers to compare"),
        (["gausian-field", "gray.png"], "did you mean gaussian-field"),
        (["gaussian-field:powr=1", "gray.png"], "did you mean power?"),
        (["gaussian-field", "absent.png"], "no picture at"),
        (["gaussian-field", "gray.png", "--sigma", "25"], 'did you mean "25/255"?'),
        (["gaussian-field", "gaussian-field", "gray.png"], "two are called gaussian-field"),
        (["gaussian-field", "gray.png", "--out", "gray.png"], "no study's folder"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(here, words, says):
    before = everything(here)
    result = compare(*words)
    assert result.exit_code in (1, 2)
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert everything(here) == before
