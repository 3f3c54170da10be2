"""snips study run: every cell is a run of its own, lands whole or not at all, and nothing is computed twice."""

from __future__ import annotations

import gc
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

import runs
import snips
from runs import everything
from snips import metrics
from snips.analytic import PowerLawField
from snips.images import write_png
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

from studies import CELLS, STUDY, assert_same, done, landed, study, tables

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


class Broken:
    """A denoiser that fails on gray pictures while `at` says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fails, self.calls, denoise = True, 0, PowerLawField.denoise

        def sometimes(prior, x, sigma):
            self.calls += 1
            if self.fails and x.shape[1] == 1 and prior.power == 1.0 and self.calls > 20:
                raise RuntimeError("out of luck\nand of time")
            return denoise(prior, x, sigma)

        monkeypatch.setattr(PowerLawField, "denoise", sometimes)


def test_a_cell_that_fails_is_recorded_and_does_not_stop_the_rest(here, monkeypatch):
    done("--out", "reference")
    with monkeypatch.context() as patched:
        broken = Broken(patched)
        result = study("--out", "first")
        assert result.exit_code == 1
        assert "4 cells failed" in result.stderr
        cells, rows = tables("first")
        failed = cells[cells.status == "failed"]
        assert set(zip(failed.label, failed.image, strict=True)) == {("flat", "gray")}
        assert set(failed.error) == {"RuntimeError: out of luck"}
        assert len(cells) == CELLS
        assert len(rows) == 2 * 12
        record = json.loads(Path(f"first/failed/{failed.cell.iloc[0]}.json").read_text())
        assert "sometimes" in record["cell"]["trace"]
        broken.fails = False
        calls = broken.calls
        assert study("--out", "first").exit_code == 1  # as before, and nothing is tried again
        assert broken.calls - calls <= 8
        assert study("--out", "first", "--retry-failed").exit_code == 0
    assert_same("first", "reference")
    assert list(Path("first/failed").iterdir()) == []


INCOMPATIBLE = {
    "gray only": ({"channels": (1,)}, "4 cells cannot be: colour is a colour picture"),
    "σ range": ({"noise_levels": snips.NoiseLevels(0.15, 0.3)}, "4 cells cannot be: σ0 = 0.1"),
}  # fmt: skip


@pytest.mark.parametrize("case", INCOMPATIBLE)
def test_what_cannot_go_together_is_refused_or_skipped_as_the_file_says(here, monkeypatch, case):
    attributes, says = INCOMPATIBLE[case]
    text = STUDY.replace('"gaussian-field", {', "{").replace('label = "flat"', 'label = "gaussian-field"')
    for name, value in attributes.items():
        monkeypatch.setattr(PowerLawField, name, value, raising=False)
    before = everything(here)
    result = study("--out", "first", text=text)
    assert result.exit_code == 2
    assert says in result.stderr
    assert 'on_incompatible = "skip" leaves them out' in result.stderr.splitlines()[-1]
    assert everything(here).keys() == before.keys() | {"study.toml"}

    result = done("--out", "first", text=f'on_incompatible = "skip"\n{text}')
    assert says in result.stderr
    cells, rows = tables("first")
    assert (len(cells), len(rows)) == (8, 8)
    skipped = cells[cells.status == "skipped"]
    assert len(skipped) == 4
    assert all(skipped.error)


BAD = {
    "unknown denoiser": ('"gaussian-field"', '"gausian-field"', "did you mean gaussian-field"),
    "unknown sampler": ('"langevin"', '"langvin"', "did you mean langevin?"),
    "unknown task": ("seeds", 'tasks = "denois"\nseeds', "did you mean denoise?"),
    "unknown metric": ('"psnr"', '"psnrr"', "psnr"),
    "unknown option": ("ratio =", "ration =", "did you mean ratio?"),
    "an option of another type": ("power = 1.0", 'power = "much"', "power=much: not of type float"),
    "no such picture": ("colour.png", "color.png", "no picture at"),
    "a broken picture": ("colour.png", "study.toml", "study.toml: cannot be read"),
    "too small a picture": ("crop = 12", "crop = 17", "has only 16 pixels"),
    "a key misspelt": ("seeds", "seed", "unknown key seed; did you mean seeds?"),
    "nothing left": ("0.7 }", '0.7, sigma_min = 0.5 }', "cannot be"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_writes_nothing(here, case):
    old, new, says = BAD[case]
    before = everything(here)
    result = study("--out", "first", text=STUDY.replace(old, new))
    assert result.exit_code in (1, 2)
    assert says in result.stderr
    assert all(line.startswith("snips: ") for line in result.stderr.splitlines())
    assert result.stdout == ""
    assert everything(here).keys() == before.keys() | {"study.toml"}


def test_several_names_are_wrong_and_all_are_said(here):
    line = study(text=STUDY.replace("gaussian", "gausian").replace("langevin", "langvin")).stderr
    assert "gausian-field" in line
    assert "langvin" in line
    assert line.count("\n") == 1


def test_the_folder_of_another_study_is_refused(here):
    done("--out", "first")
    before = everything(Path("first"))
    for old, new, says in (
        ("samples = 2", "samples = 3", "samples was 2, now 3"),
        ("power = 1.0", "power = 1.5", "prior flat was gaussian-field power=1.0"),
        ('"gray.png", ', "", "images was 2 pictures"),
    ):
        result = study("--out", "first", text=STUDY.replace(old, new))
        assert result.exit_code == 1
        assert f"first is the folder of another study: {says}" in result.stderr
    write_png("gray.png", np.full((18, 16), 0.25))
    assert "images was" in study("--out", "first").stderr
    assert everything(Path("first")) == before


@pytest.mark.parametrize("out", ["precious", "gray.png", "precious/thesis.txt/first", "/proc/first"])
def test_a_folder_that_is_no_studys_is_left_alone(here, out):
    Path("precious").mkdir()
    Path("precious/thesis.txt").write_text("all of it")
    before = everything(here)
    result = study("--out", out)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("snips: ")
    assert everything(here).keys() == before.keys() | {"study.toml"}
    assert Path("precious/thesis.txt").read_text() == "all of it"


def test_two_at_once_do_not_write_into_one_folder(here):
    done("--out", "first")
    with StudyFolder(Path("first")).locked():
        result = study("--out", "first")
    assert result.exit_code == 1
    assert "being written by another" in result.stderr


def test_a_disk_that_fills_up_is_one_line_and_the_study_goes_on_later(here):
    resource = pytest.importorskip("resource")
    done("--out", "reference")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, before[1]))  # study.json and a gray cell, not a colour one
    try:
        result = study("--out", "first")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert result.exit_code == 1
    assert "cannot write" in result.stderr.splitlines()[-1]
    landed = [p for p in Path("first/cells").glob("??/*") if p.is_dir()]
    assert 0 < len(landed) < CELLS
    assert all({p.name for p in cell.iterdir()} == {"cell.json", "pictures.safetensors"} for cell in landed)
    done("--out", "first")
    assert_same("first", "reference")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_keeps_what_is_finished_and_goes_on(here, monkeypatch, number):
    done("--out", "reference")
    compute, seen = cells_module.restored_cell, []

    def stopped(cell, device):
        seen.append(cell.id)
        if len(seen) == 5:
            signal.raise_signal(number)
        return compute(cell, device)

    with monkeypatch.context() as patched:
        patched.setattr(cells_module, "restored_cell", stopped)
        result = study("--out", "first")
    assert result.exit_code == 128 + number
    assert result.stderr.splitlines()[-1].endswith("the same command goes on")
    assert len(tables("first")[0]) == 4
    done("--out", "first")
    assert_same("first", "reference")


SLOW = """
import sys, time
import snips.analytic
denoise = snips.analytic.PowerLawField.denoise
def slow(self, x, sigma):
    time.sleep(0.002)
    return denoise(self, x, sigma)
snips.analytic.PowerLawField.denoise = slow
from snips_cli.main import main
main(sys.argv[1:])
"""


def test_killed_it_loses_no_more_than_the_cell_under_way(here):
    done("--out", "reference")
    words = ["study", "run", "study.toml", "--device", "cpu", "--out", "first"]
    process = subprocess.Popen([sys.executable, "-c", SLOW, *words], stderr=subprocess.PIPE)
    while len(landed("first")) < 5:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    kept = landed("first")
    result = done("--out", "first")
    assert f"{len(kept)} of them done before" in result.stderr
    assert {id: when for id, when in landed("first").items() if id in kept} == kept
    assert_same("first", "reference")
    assert [p for p in Path("first").rglob(".*") if p.name != ".lock"] == []


def test_without_the_extra_it_says_what_to_type(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    result = study("--out", "first")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "snips: studies need pyarrow: pip install 'snips-toolkit[study]'"
    assert not Path("first").exists()


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


def test_without_ray_it_says_what_to_type(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    result = study("--out", "first", "--ray", "127.0.0.1:1")
    assert result.exit_code == 1
    assert result.stderr == "snips: studies need ray: pip install 'snips-toolkit[ray]'\n"


def test_the_metrics_that_a_study_does_not_name_are_part_of_it(here, monkeypatch):
    """So that a folder is not gone on with by a version that measures other things."""
    monkeypatch.setattr("snips_cli.study.metrics.check", lambda names: None)  # it imports what they need
    Path("study.toml").write_text(STUDY.replace('metrics = ["psnr", "residual", "mse_ratio"]', ""), encoding="utf-8")
    assert asked_for(survey(read_spec("study.toml"), "cpu").grid)["metrics"] == list(DEFAULT)
