"""snips study run: every cell is a run of its own, lands whole or not at all, and nothing is computed twice."""

from __future__ import annotations

import gc
import io
import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

import runs
from runs import everything
from snips import metrics
from snips.analytic import PowerLawField
from snips_cli.main import main
from snips_cli.study import cells as cells_module
from snips_cli.study.folder import StudyFolder
from snips_cli.study.grid import Cell
from snips_cli.study.metrics import DEFAULT
from snips_cli.study.record import asked_for
from snips_cli.study.spec import read_spec
from snips_cli.study.survey import survey

pytest.importorskip("pyarrow", reason="needs the extra study")

import pandas

from studies import CELLS, STUDY, done, tables

INPAINT = 'tasks = ["denoise", { task = "inpaint", options = { mask = "random:0.3" } }]\nsnapshots = 2\n' + STUDY


@pytest.fixture
def calls(monkeypatch) -> list[int]:
    """The rows of every denoiser call."""
    rows: list[int] = []
    denoise = PowerLawField.denoise

    def counted(self, x, sigma):
        rows.append(len(x))
        return denoise(self, x, sigma)

    monkeypatch.setattr(PowerLawField, "denoise", counted)
    return rows


def test_the_tables_have_every_cell_and_sample_in_order(here):
    result = done("--out", "first")
    assert result.stdout == "first/cells.parquet\n"
    cells, rows = tables("first")
    assert len(cells) == CELLS
    assert set(cells.status) == {"ok"}
    order = ["label", "image_index", "sigma", "seed"]
    flat_last = cells.assign(label=cells.label == "flat")
    assert flat_last[order].equals(flat_last.sort_values(order)[order].reset_index(drop=True))
    assert list(rows.cell) == [id for id in cells.cell for _ in range(2)]
    assert list(rows["sample"]) == [0, 1] * CELLS
    assert cells.cell.is_unique
    assert not rows.isna().any().drop("hole_psnr").any()


def test_a_cell_is_a_run_of_snips_run(here):
    """The same picture, noise and samples to the bit, by the seed that the table says."""
    done("--out", "first", text=INPAINT)
    folder = StudyFolder.open("first")
    for _, cell in folder.cells().iloc[[0, 5, -1]].iterrows():
        options = [f"-d{k}={v}" for k, v in json.loads(cell.denoiser_options).items()]
        task = ["--task", cell.task, *(f"-t{k}={v}" for k, v in json.loads(cell.task_options).items())]
        more = ["--sigma", cell.sigma, "--seed", cell.cell_seed, "--samples", cell.samples, "--snapshots", 2]
        runs.done(f"{cell.image}.png", "--simulate", "--crop", 12, *options, *task, *more, "--out", cell.cell)
        alone, kept = load_file(f"{cell.cell}/samples.safetensors"), folder.pictures(cell.cell)
        assert kept.keys() - {"fill"} == alone.keys()
        assert all(torch.equal(kept[name], alone[name]) for name in alone)
        (entry,) = runs.record(cell.cell)["images"]
        assert entry["nfe"] == cell.nfe
        rows = folder.rows().query("cell == @cell.cell")
        assert list(rows.psnr) == entry["samples"]["psnr"]
        assert list(rows.residual_p) == entry["residual"]["p_value"]


def test_all_priors_and_noise_levels_are_compared_on_the_same_noise(here):
    done("--out", "first")
    folder = StudyFolder.open("first")
    cells = folder.cells()
    pictures = {(c.label, c.image, c.seed, round(c.sigma, 3)): folder.pictures(c.cell) for _, c in cells.iterrows()}
    for image in ("gray", "colour"):
        one = pictures["gaussian-field", image, 0, 0.1]
        assert torch.equal(one["observed"], pictures["flat", image, 0, 0.1]["observed"])
        assert not torch.equal(one["samples"], pictures["flat", image, 0, 0.1]["samples"])
        assert not torch.equal(one["observed"], pictures["gaussian-field", image, 1, 0.1]["observed"])
        noise = one["observed"] - one["clean"]
        louder = pictures["gaussian-field", image, 0, 0.2]
        assert torch.allclose(louder["observed"] - louder["clean"], 2 * noise, atol=1e-6)
        assert metrics.psnr(one["clean"], one["mmse"]) == cells.mmse_psnr[0 if image == "gray" else 4]


def test_what_is_kept(here):
    text = INPAINT.replace("snapshots", "keep_pictures = 1\nkeep_samples = 1\nsnapshots")
    done("--out", "first", text=text)
    folder = StudyFolder.open("first")
    for _, cell in folder.cells().iterrows():
        kept = {name: tuple(x.shape) for name, x in folder.pictures(cell.cell).items()}
        assert cell.pictures == (cell.image == "gray") == bool(kept)
        if kept:
            one = (1, 12, 12)
            expected = dict.fromkeys(("clean", "observed", "mean", "std"), one) | {"samples": (1, *one)}
            inpainting = {"fill": one, "mask": (12, 12)} if cell.task == "inpaint" else {"mmse": one}
            assert kept == expected | inpainting | {"snapshots": (2, *one)}
            assert len(folder.snapshot_sigmas(cell.cell)) == 2


def test_the_cost_is_known_before(here, calls):
    result = done("--dry-run")
    assert [p.name for p in here.iterdir()] == ["colour.png", "gray.png", "study.toml"] or not Path("studies").exists()
    assert f"study study: {CELLS} cells; " in result.stderr
    promised = int(result.stderr.partition("cells; ")[2].split()[0].replace(",", ""))
    calls.clear()
    done("--out", "first")
    planned = json.loads(Path("first/study.json").read_text())
    looked = sum(calls) - promised - CELLS  # and D(y, σ0) once a cell
    assert looked == 2 * 2 * 2 * 2  # two calls of two rows to time each of two priors on pictures of two shapes
    assert planned["nfe"] == promised
    cells, _ = tables("first")
    assert (cells.nfe * cells.samples).sum() == promised


def test_nothing_is_computed_twice(here, monkeypatch):
    done("--out", "first")
    before = everything(Path("first/cells"))
    monkeypatch.setattr(cells_module, "restored_cell", lambda *_: pytest.fail("computed again"))
    result = done("--out", "first")
    assert "16 of them done before; 0 denoiser calls to go" in result.stderr
    assert everything(Path("first/cells")) == before
    assert len(json.loads(Path("first/study.json").read_text())["runs"]) == 2


def test_cells_are_walked_and_not_kept(here, monkeypatch):
    """So that memory does not grow with their number."""
    compute, alive = cells_module.restored_cell, []

    def counted(cell, device):
        alive.append(sum(type(thing) is Cell for thing in gc.get_objects()))
        return compute(cell, device)

    monkeypatch.setattr(cells_module, "restored_cell", counted)
    done("--out", "first")
    assert len(alive) == CELLS
    assert max(alive) <= 3


def test_only_the_mmse_estimate(here):
    text = STUDY.replace('priors = ["gaussian-field",', 'priors = [{ denoiser = "gaussian-field", samples = 0 },')
    done("--out", "first", text=text)
    done("--out", "second")
    cells, rows = tables("first")
    assert (len(cells), len(rows)) == (CELLS, CELLS)
    estimates = cells[cells.label == "gaussian-field"]
    assert set(estimates.samples) == {0}
    assert set(estimates.sampler) == {""}
    assert set(estimates.nfe) == {1}
    assert list(estimates.mmse_psnr) == list(tables("second")[0].mmse_psnr[:8])


# What goes wrong


def test_the_table_has_means_over_pictures_seeds_and_samples(here):
    done("--out", "first", text=INPAINT)
    cells, rows = tables("first")
    shown = CliRunner().invoke(main, ["study", "table", "first", "--csv"])
    found = pandas.read_csv(io.StringIO(shown.stdout))
    assert len(found) == 2 * 2 * 2
    for _, line in found.iterrows():
        of = f"label == '{line.label}' and task_label == '{line.task_label}' and abs(sigma - {line.sigma}) < 1e-3"
        assert line.pictures == 4
        assert line.mmse_psnr == pytest.approx(cells.query(of).mmse_psnr.mean(), rel=1e-3, nan_ok=True)
        assert line.psnr == pytest.approx(rows.query(of).psnr.mean(), rel=1e-3)
        assert line.hole_psnr == pytest.approx(rows.query(of).hole_psnr.mean(), rel=1e-3, nan_ok=True)
        assert line.nfe == cells.query(of).nfe.mean()
    readable = CliRunner().invoke(main, ["study", "table", "first"])
    assert readable.exit_code == 0
    assert readable.stdout.count("inpaint") == 4
    assert "no study.json" in CliRunner().invoke(main, ["study", "table", "."]).stderr


def test_the_metrics_that_a_study_does_not_name_are_part_of_it(here, monkeypatch):
    """So that a folder is not gone on with by a version that measures other things."""
    monkeypatch.setattr("snips_cli.study.metrics.check", lambda names: None)  # it imports what they need
    Path("study.toml").write_text(STUDY.replace('metrics = ["psnr", "residual", "mse_ratio"]', ""), encoding="utf-8")
    assert asked_for(survey(read_spec("study.toml"), "cpu").grid)["metrics"] == list(DEFAULT)
