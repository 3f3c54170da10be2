"""snips run: whole or not there, whatever stops it, and resumed to the same bits."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors import safe_open

from runs import QUICK, SLOW, done, everything, run
from snips.analytic import PowerLawField
from snips.images import write_png
from snips_cli.main import main


def test_overwrite_replaces_at_the_very_end(here, monkeypatch):
    done("gray.png", "--simulate", "--samples", 1, "--out", "first")
    Path("first/note.txt").write_text("of the old run")
    before = everything(Path("first"))
    seen = []
    denoise = PowerLawField.denoise

    def watched(self, x, sigma):
        seen.append(everything(Path("first")) == before)
        return denoise(self, x, sigma)

    monkeypatch.setattr(PowerLawField, "denoise", watched)
    done("gray.png", "--simulate", "--samples", 2, "--out", "first", "--overwrite")
    assert seen
    assert all(seen)
    assert Path("first/sample-001.png").exists()
    assert not Path("first/note.txt").exists()
    assert [p.name for p in here.iterdir() if p.name.startswith(".")] == []


WORDS = ["gray.png", "colour.png", "--simulate", "--samples", 3, "--batch", 2, "--out", "first"]
FILES = ["gray/samples.safetensors", "colour/samples.safetensors"]


@pytest.fixture
def reference(here) -> list[bytes]:
    """The samples of WORDS, run in one go."""
    done(*WORDS)
    samples = [Path("first", name).read_bytes() for name in FILES]
    for path in sorted(Path("first").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    Path("first").rmdir()
    return samples


class Interrupted:
    """Sends a signal from within the n-th call of the denoiser."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, call: int, number: int = signal.SIGINT) -> None:
        self.calls, denoise = 0, PowerLawField.denoise

        def counting(prior, x, sigma):
            self.calls += 1
            if self.calls == call:
                signal.raise_signal(number)
            return denoise(prior, x, sigma)

        monkeypatch.setattr(PowerLawField, "denoise", counting)


@pytest.mark.parametrize("call", [1, 2, 30, 60, 100])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_and_resumed_by_the_command_it_says(here, monkeypatch, reference, call, number):
    if call == 1:  # before the first step, when SIGTERM still ends the process
        number = signal.SIGINT
    with monkeypatch.context() as patched:
        Interrupted(patched, call, number)
        result = run(*WORDS)
    assert result.exit_code == 128 + number
    line = result.stderr.splitlines()[-1]
    assert not Path("first").exists()
    assert Path(".first.partial/request.json").exists()
    command = shlex.split(line.partition("to go on: ")[2])
    assert command[0] == "snips"
    assert CliRunner().invoke(main, command[1:]).exit_code == 0
    assert [Path("first", name).read_bytes() for name in FILES] == reference
    assert not Path(".first.partial").exists()


def test_an_unfinished_run_is_neither_overwritten_nor_mixed_up(here, monkeypatch, reference):
    with monkeypatch.context() as patched:
        Interrupted(patched, 40)
        run(*WORDS)
    kept = everything(here)

    again = run(*WORDS)
    assert again.exit_code == 1
    assert "--resume" in again.stderr
    other = run(*WORDS, "--resume", "--seed", 1, "--sigma", "0.2")
    assert other.exit_code == 1
    assert "seed was 0, now 1" in other.stderr
    assert "sigma was None, now 0.2" in other.stderr
    write_png("gray.png", np.full((18, 16), 0.3))
    changed = run(*WORDS, "--resume")
    assert changed.exit_code == 1
    assert "images was" in changed.stderr
    Path("gray.png").write_bytes(kept["gray.png"])
    assert everything(here) == kept

    done(*WORDS, "--overwrite")
    assert [Path("first", name).read_bytes() for name in FILES] == reference
    assert not Path(".first.partial").exists()


def test_a_broken_checkpoint_is_named(here, monkeypatch):
    with monkeypatch.context() as patched:
        Interrupted(patched, 40)
        run(*WORDS)
    Path(".first.partial/gray.safetensors").write_bytes(b"not what it was")
    result = run(*WORDS, "--resume")
    assert result.exit_code == 1
    assert "gray.safetensors" in result.stderr
    assert not Path("first").exists()


def test_resume_without_an_unfinished_run_starts_or_has_nothing_to_do(here, reference):
    done(*WORDS, "--resume")
    assert [Path("first", name).read_bytes() for name in FILES] == reference
    before = everything(Path("first"))
    result = done(*WORDS, "--resume")
    assert "finished already" in result.stderr
    assert everything(Path("first")) == before
    assert "seed was 0, now 3" in run(*WORDS, "--resume", "--seed", 3).stderr


@pytest.mark.parametrize("renames", [0, 1])
def test_killed_while_the_folder_takes_its_place(here, monkeypatch, reference, renames):
    """No process can be killed so exactly; an exception in the place of the n-th move leaves the same on disk."""
    done("gray.png", "--simulate", "--samples", 1, "--out", "first")
    rename, moves = os.rename, []

    def dies(source, target):
        if len(moves) == renames:
            raise KeyboardInterrupt
        moves.append(source)
        rename(source, target)

    with monkeypatch.context() as patched:
        patched.setattr("snips_cli.outfolder.os.rename", dies)
        assert run(*WORDS, "--overwrite").exit_code == 130
    assert Path("first").exists() == (renames == 0)
    if renames == 0:
        assert Path("first/samples.safetensors").exists()  # the old one, still whole
    done(*WORDS, "--overwrite", "--resume")
    assert [Path("first", name).read_bytes() for name in FILES] == reference
    assert not Path(".first.partial").exists()


def test_a_disk_that_fills_up_keeps_what_was_sampled(here, reference):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, before[1]))
    try:
        result = run(*WORDS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert result.exit_code == 1
    line = result.stderr.splitlines()[-1]
    assert "cannot write" in line
    assert "to go on: snips run" in line
    assert not Path("first").exists()
    done(*WORDS, "--resume")
    assert [Path("first", name).read_bytes() for name in FILES] == reference


def test_diverging_is_said_and_leaves_nothing(here, monkeypatch):
    monkeypatch.setattr(PowerLawField, "denoise", lambda self, x, sigma: x * float("nan"))
    before = everything(here)
    result = run("gray.png", "--simulate", "--out", "first")
    assert result.exit_code == 1
    assert "NaN or infinity" in result.stderr
    assert everything(here) == before


PROGRAM = "import snips.runs; snips.runs.SAVE_EVERY = 0.0\n" + SLOW


@pytest.mark.slow
def test_killed_and_resumed_twice_gives_the_same_bits(here, reference):
    words = [*QUICK, *map(str, WORDS), "--resume"]
    for awaited in ("gray", "colour"):
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, *words], stderr=subprocess.PIPE)
        while not Path(f".first.partial/{awaited}.safetensors").exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.005)
        time.sleep(0.03)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not Path("first").exists()
        with safe_open(f".first.partial/{awaited}.safetensors", "pt") as file:
            assert file.metadata()
    done(*WORDS, "--resume")
    assert [Path("first", name).read_bytes() for name in FILES] == reference
