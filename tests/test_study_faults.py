"""snips study run: what is refused, what fails, and what is left when it is stopped, killed, or out of disk."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import snips
from runs import SLOW, everything
from snips.analytic import PowerLawField
from snips.images import write_png
from snips_cli.study import cells as cells_module
from snips_cli.study.folder import StudyFolder

pytest.importorskip("pyarrow", reason="needs the extra study")

from studies import CELLS, STUDY, assert_same, done, landed, study, tables


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


def test_without_ray_it_says_what_to_type(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    result = study("--out", "first", "--ray", "127.0.0.1:1")
    assert result.exit_code == 1
    assert result.stderr == "snips: studies need ray: pip install 'snips-toolkit[ray]'\n"
