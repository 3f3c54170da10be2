"""The studies that ship are read and planned; the official ones run, with stand-ins for what cannot be had here."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from shared import SHARED
from snips.images import write_png
from snips_cli.main import main
from snips_cli.study.spec import files_of, read_spec
from test_docs import ROOT

pytest.importorskip("pyarrow", reason="needs the extra study")

import pandas

from snips_cli.study.folder import StudyFolder

FOLDER = ROOT / "docs" / "studies"
PAGE = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
FILES = sorted(FOLDER.glob("*.toml"))
OFFICIAL = {"celeba": ("NCSNv2", 90, 500), "bedroom": ("NCSNv2Deeper", 190, 1086), "ffhq": ("NCSNv2Deepest", 348, 2311)}
"""Of each official checkpoint: the layout, the largest σ and the number of levels."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_study_that_ships_is_read_and_on_the_page(path):
    assert read_spec(path).name != path.stem
    assert f"(studies/{path.name})" in PAGE


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.csv")), ids=lambda path: path.stem)
def test_a_result_that_ships_is_its_studys_and_the_pages(path):
    """Every combination that the study has, skipped ones apart, and the figures that the page shows."""
    spec = read_spec(path.with_suffix(".toml"))
    result = pandas.read_csv(path)
    assert set(result.label) == {prior.label for prior in spec.priors}
    assert set(result.sigma) <= {float(f"{sigma:.4g}") for sigma in spec.sigmas}
    assert f"(studies/{path.name})" in PAGE
    for _, line in result[result.psnr.notna()].iterrows():
        assert f"{line.psnr:.2f}" in PAGE


@pytest.mark.weights
@pytest.mark.parametrize("path", [p for p in FILES if "official" not in p.stem], ids=lambda path: path.stem)
def test_what_a_study_needs_is_where_it_says(path):
    if SHARED is None:
        pytest.skip("needs the third-party files of ../shared, not beside this checkout")
    spec = read_spec(path)
    assert all(Path(weights).is_file() for prior in spec.priors for weights in prior.options.values() if "/" in weights)
    assert all(files_of(source) for group in spec.images for source in group.sources if ":" not in source)


def stand_in(path: Path, layout: str, sigma_max: float, levels: int) -> None:
    """A checkpoint as the official ones are, but narrow, whose score is zero: D(x, σ) = x."""
    from snips_plugins.ncsnv2.network import NCSNv2

    torch.manual_seed(0)
    network = NCSNv2(layout=layout, ngf=4, levels=levels)
    network.sigmas.copy_(torch.tensor(np.exp(np.linspace(math.log(sigma_max), math.log(0.01), levels))))
    torch.nn.init.zeros_(network.end_conv.weight)
    torch.nn.init.zeros_(network.end_conv.bias)
    state = network.state_dict()
    ema = {name: x for name, x in state.items() if name != "sigmas"}
    torch.save([{f"module.{name}": x for name, x in state.items()}, {}, 1, 1, ema], path)


@pytest.fixture
def official(tmp_path, monkeypatch):
    """A folder with the official studies, stand-ins for weights, and a picture of each class."""
    monkeypatch.chdir(tmp_path)
    Path("weights").mkdir()
    for name, what in OFFICIAL.items():
        stand_in(Path(f"weights/{name}.pth"), *what)
        Path(f"images/{name}").mkdir(parents=True)
        write_png(f"images/{name}/one.png", np.random.default_rng(0).uniform(size=(3, 300, 260)))
    return tmp_path


def shortened(name: str, *changes: tuple[str, str]) -> Path:
    """The study of one checkpoint with one sample, what is found replaced."""
    text = (FOLDER / f"official-{name}.toml").read_text(encoding="utf-8")
    for old, new in (("samples = 8", 'metrics = ["psnr"]\nsamples = 1'), *changes):
        text, found = re.subn(old, new, text)
        assert found, old
    path = Path(f"{name}.toml")
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", OFFICIAL)
def test_the_official_study_runs_with_a_stand_in_of_the_same_layout(official, name):
    """Coarse levels and small pictures: what is tested is that the file, the checkpoint and the tasks go together."""
    coarse = (r"options = \{ preset", "options = { ratio = 0.6, steps_per_level = 1, preset")
    path = shortened(name, (r"size = \d+", "size = 32"), (r"crop = \d+", "crop = 32"), coarse, (r", [0-9., ]+\]", "]"))
    result = CliRunner().invoke(main, ["study", "run", str(path), "--out", "out", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    cells = StudyFolder.open("out").cells()
    spec = read_spec(path)
    ok = cells[cells.status == "ok"]
    assert len(ok) == len(spec.sigmas) * (len(spec.tasks) + 1)
    assert set(cells[cells.status == "skipped"].label) == {"BM3D"}
    assert set(ok[ok.label == "NCSNv2"].task_label) == {task.label for task in spec.tasks}
    denoised = ok[(ok.label == "NCSNv2") & (ok.task == "denoise")]
    assert denoised.mmse_psnr.tolist() == pytest.approx([-20 * math.log10(s) for s in spec.sigmas], abs=0.5)  # D = x


@pytest.mark.slow
def test_the_official_celeba_study_costs_what_the_paper_says(official):
    """At σ0 = .203, Algorithm 1 makes 825 denoiser calls and Algorithm 2 2495 or so (5 steps at each of 500 levels)."""
    path = shortened("celeba", (r"sigmas = .*", "sigmas = [0.203]"))
    result = CliRunner().invoke(main, ["study", "run", str(path), "--dry-run", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    calls = int(result.stderr.partition("cells (3 more cannot be); ")[2].split()[0].replace(",", ""))
    assert calls == 825 + 3 * 2495 + 1
