"""snips train: what it leaves, stopped by anything and resumed, by one process or two, and what it refuses."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

import snips
from snips_cli.main import main

pytest.importorskip("timm", reason="training needs the extra `train`")

TINY = ["drunet-small", "-n", "widths=8,8", "-n", "blocks=1", "--patch", "16", "--rows", "4", "--leaves", "1"]


def train(*words: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, words), "--device", "cpu"])


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "weights.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def spawn(*words: object, **more) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # gradients round by it
    command = [sys.executable, "-m", "snips_cli", "train", *map(str, words), "--device", "cpu"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def test_a_training_leaves_weights_with_a_card_and_a_log(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (40, 40), (200, 30, 90)).save(folder / "red.png")
    Image.new("L", (40, 40), 90).save(folder / "gray.png")
    words = [
        *TINY[:-1],
        "0.5",
        "--images",
        folder,
        "--steps",
        6,
        "--every",
        3,
        "--licence",
        "CC0",
        "--origin",
        "two flat",
    ]
    result = train(*words, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "out" / "weights.safetensors")
    with safe_open(tmp_path / "out" / "weights.safetensors", "pt") as file:
        card = file.metadata()
    assert card["sigma"] == "0.002 1"
    assert card["licence"] == "CC0"
    assert card["data"] == "two flat"
    assert card["step"] == "6"
    assert card["made"].startswith("snips train drunet-small -n widths=8,8")
    assert str(tmp_path) not in card["made"]
    assert {"25", "gray 25"} <= json.loads(card["psnr"]).keys()
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [3, 6]
    assert all(line["loss"] > 0 for line in log)


def test_the_command_and_the_function_learn_at_the_same_scales():
    from snips.training.corpora import SCALES
    from snips_cli.train import train as command

    option = next(option for option in command.params if option.name == "scales")
    assert option.type_cast_value(None, option.default) == ",".join(f"{scale:g}" for scale in SCALES)


@pytest.mark.parametrize("name", ["drunet-small", "ncsnv2"])
def test_what_was_trained_denoises(name, tmp_path):
    options = ["-n", "widths=8,8"] if name == "drunet-small" else ["-n", "ngf=4"]
    result = train(name, *options, "--patch", 16, "--rows", 2, "--leaves", 1, "--steps", 2, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    denoiser = snips.load_denoiser(name, weights=str(tmp_path / "weights.safetensors"))
    x = torch.rand(1, 3, 17, 20)
    assert snips.denoise(denoiser, x, 0.1).shape == x.shape
    assert denoiser.noise_levels.high == 1.0


def test_killed_and_resumed_it_is_the_same(tmp_path):
    words = [*TINY, "--steps", 40, "--every", 10]
    assert train(*words, "--out", tmp_path / "whole").exit_code == 0
    process = spawn(*words, "--out", tmp_path / "cut")
    for _ in range(600):
        if (tmp_path / "cut" / "state.pt").exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    state = torch.load(tmp_path / "cut" / "state.pt", weights_only=True)
    assert state["step"] in (10, 20, 30, 40)
    result = train(*words, "--out", tmp_path / "cut", "--resume")
    assert result.exit_code == 0, result.output
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


def test_stopped_by_a_signal_it_keeps_the_step_it_is_at(tmp_path):
    words = [*TINY, "--steps", 100_000, "--every", 3, "--out", tmp_path / "cut"]
    process = spawn(*words)
    for _ in range(600):
        if (tmp_path / "cut" / "log.jsonl").exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert torch.load(tmp_path / "cut" / "state.pt", weights_only=True)["step"] >= 3


def test_stopped_with_its_workers_it_goes_on_to_the_same(tmp_path):
    """A terminal sends Ctrl-C, and a scheduler its signal, to workers too; what is drawn does not depend on them."""
    words = [*TINY, "--steps", 150, "--every", 5]
    assert train(*words, "--out", tmp_path / "whole").exit_code == 0
    process = spawn(*words, "--workers", 2, "--out", tmp_path / "cut", start_new_session=True)
    for _ in range(600):
        if (tmp_path / "cut" / "state.pt").exists() or process.poll() is not None:
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, error
    assert "Traceback" not in error
    result = train(*words, "--workers", 1, "--out", tmp_path / "cut", "--resume")
    assert result.exit_code == 0, result.output
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


LEAVING = """
import atexit, pathlib, sys
names = lambda: [path.read_text().strip() for path in pathlib.Path("/proc/self/task").glob("*/comm")]
atexit.register(lambda: print("threads:", *names(), file=sys.stderr))
from snips_cli.main import main
main()
"""


def test_two_processes_train_as_one(tmp_path):
    """Gradients are averaged over the processes, each with crops of its own, and only the first one writes.

    No thread of their group is left when Python ends: it would abort now and then.
    """
    (tmp_path / "leaving.py").write_text(LEAVING)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command += [str(tmp_path / "leaving.py"), "train", *TINY, "--steps", "8", "--every", "4", "--device", "cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    out = tmp_path / "out"
    both = subprocess.run([*command, "--out", str(out)], env=environment, capture_output=True, text=True, timeout=300)
    assert both.returncode == 0, both.stderr
    assert both.stdout.splitlines() == [str(out / "weights.safetensors")]
    assert len((out / "log.jsonl").read_text().splitlines()) == 2
    assert torch.load(out / "state.pt", weights_only=True)["step"] == 8
    left = [line for line in both.stderr.splitlines() if line.startswith("threads:")]
    assert len(left) == 2
    assert not any("gloo" in line for line in left), left


def test_a_full_disk_is_one_line_and_the_last_state_stays(tmp_path):
    words = [*TINY, "--steps", 6, "--every", 3, "--out", tmp_path / "out"]
    process = spawn(*words, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)))
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1
    said = [line for line in error.splitlines() if "cannot write" in line]
    assert len(said) == 1, error
    assert not (tmp_path / "out" / "state.pt").exists()
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["drunet-smal"], "did you mean drunet-small"),
        (["drunet-small"], "nothing to learn from"),
        ([*TINY[:5], "--patch", "15", "--leaves", "1"], "needs a multiple of 4"),
        (["drunet-small", "-n", "widths=a", "--leaves", "1"], "say widths=64,96,128,192"),
        (["drunet-small", "-n", "weights=nothing.safetensors", "--leaves", "1"], "No such file"),
        ([*TINY, "--sigma-min", "2"], "0 < sigma_min < sigma_max"),
        ([*TINY, "--optimiser", "adamv"], "did you mean adam"),
        ([*TINY, "--scales", "1,big"], "not a list of positive numbers"),
        ([*TINY, "--scales", "0"], "not a list of positive numbers"),
        ([*TINY, "--scales", "1,nan"], "not a list of positive numbers"),
        (["ncsnv2", "-n", "ngf=0", "--leaves", "1"], "ngf=0"),
    ],
)
def test_what_cannot_be_is_one_line(words, said, tmp_path):
    result = train(*words, "--out", tmp_path / "out")
    assert result.exit_code in (1, 2)
    assert said in result.output
    assert result.output.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_training_is_not_begun_over_another(tmp_path):
    assert train(*TINY, "--steps", 2, "--out", tmp_path / "out").exit_code == 0
    result = train(*TINY, "--steps", 2, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "add --resume" in result.output
    result = train(*TINY, "--steps", 2, "--rate", 0.5, "--out", tmp_path / "out", "--resume")
    assert result.exit_code == 1
    assert "rate 0.001, not 0.5" in result.output
