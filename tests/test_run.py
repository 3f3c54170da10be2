"""snips run: what it writes, what it refuses, and that a run is whole or is not there, whatever stops it."""

from __future__ import annotations

import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from safetensors import safe_open
from safetensors.torch import load_file

import snips
from snips import metrics
from snips.analytic import PowerLawField
from snips.classical import biharmonic_fill
from snips.images import read_picture, write_png
from snips_cli.main import main

QUICK = ["run", "--denoiser", "gaussian-field", "--device", "cpu", "-s", "ratio=0.7"]


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [*QUICK, *map(str, words)])


def done(*words: object) -> Result:
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result


def record(folder: Path | str) -> dict:
    return json.loads((Path(folder) / "run.json").read_text(), parse_constant=pytest.fail)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder with a clean gray and a clean colour picture in it."""
    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[:18, :16] / 16
    write_png("gray.png", 0.5 + 0.3 * np.sin(5 * x + 3 * y))
    write_png("colour.png", np.stack([0.5 + 0.3 * np.sin(5 * x + k * y) for k in range(3)]))
    return tmp_path


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


# What it writes


def test_a_simulated_denoising_run(here):
    result = done("colour.png", "--simulate", "--sigma", "25/255", "--samples", 3, "--seed", 5, "--out", "runs/first")
    folder = here / "runs/first"
    pictures = {"observed.png", "mmse.png", "mean.png", "std.png", "overview.png"}
    samples = {f"sample-{k:03d}.png" for k in range(3)}
    assert {p.name for p in folder.iterdir()} == pictures | samples | {"run.json", "samples.safetensors"}
    assert not (here / "runs/.first.partial").exists()
    assert "runs/first/overview.png" in result.stdout
    assert "3 samples" in result.stderr

    exact = load_file(folder / "samples.safetensors")
    assert exact["samples"].shape == (3, 3, 18, 16)
    assert exact["samples"].dtype == torch.float32
    torch.testing.assert_close(exact["mean"], exact["samples"].mean(0))
    torch.testing.assert_close(exact["std"], exact["samples"].std(0))
    torch.testing.assert_close(exact["clean"], torch.from_numpy(read_picture("colour.png")))
    shown = read_picture(folder / "sample-001.png")
    np.testing.assert_allclose(shown, exact["samples"][1].clamp(0, 1), atol=0.51 / 255)
    for name in pictures - {"overview.png", "std.png"}:
        assert read_picture(folder / name).shape == (3, 18, 16)
    assert read_picture(folder / "overview.png").shape[2] > 5 * 200

    data = record(folder)
    (image,) = data["images"]
    assert image["name"] == "colour"
    assert image["sigma"] == pytest.approx(25 / 255)
    assert image["nfe"] > 0
    assert image["seconds"] > 0
    clean = exact["clean"]
    assert image["mmse"]["psnr"] == pytest.approx(metrics.psnr(clean, exact["mmse"]))
    assert image["posterior_mean"]["psnr"] == pytest.approx(metrics.psnr(clean, exact["mean"]))
    assert image["posterior_mean"]["ssim"] == pytest.approx(metrics.ssim(clean, exact["mean"]))
    assert image["samples"]["psnr"] == pytest.approx([metrics.psnr(clean, x) for x in exact["samples"]])
    assert image["samples"]["ssim"] == pytest.approx([metrics.ssim(clean, x) for x in exact["samples"]])
    assert image["samples"]["mse_ratio"] == pytest.approx(metrics.mse_ratio(clean, exact["samples"], exact["mmse"]))
    tests = [metrics.residual_tests(exact["observed"] - x, 25 / 255) for x in exact["samples"]]
    for name in ("std_over_sigma", "rho", "p_value"):
        assert image["residual"][name] == pytest.approx([getattr(test, name) for test in tests])
    assert "hole" not in image
    assert data["seed"] == 5
    assert data["device"] == "cpu"
    assert data["sampler"]["options"] == {"ratio": "0.7"}
    assert data["denoiser"]["card"]["name"] == "gaussian-field"
    assert data["denoiser"]["weights_sha256"] is None
    assert data["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert data["command"].startswith("snips run --denoiser gaussian-field")
    assert data["warnings"] == []


def test_mmse_and_samples_are_what_python_gives(here):
    done("colour.png", "--simulate", "--samples", 2, "--seed", 3, "--out", "first")
    exact = load_file("first/samples.safetensors")
    observation = snips.Observation(exact["observed"], 25 / 255)
    posterior = snips.sample(
        observation, snips.load_denoiser("gaussian-field"), snips.load_sampler("langevin", ratio=0.7), samples=2, seed=3
    )
    torch.testing.assert_close(exact["samples"], posterior.samples, rtol=0, atol=0)
    torch.testing.assert_close(exact["mmse"], snips.denoise(PowerLawField(), exact["observed"], 25 / 255))
    noise = (exact["observed"] - exact["clean"]) / (25 / 255)
    assert abs(float(noise.std()) - 1) < 4 / math.sqrt(2 * noise.numel())


def test_a_simulated_inpainting_run(here):
    result = done(
        "colour.png", "--simulate", "--task", "inpaint", "-t", "mask=rows:4", "--samples", 2, "--out", "first"
    )
    exact = load_file("first/samples.safetensors")
    missing = ~exact["mask"]
    assert missing.sum() == 4 * 16
    assert (exact["observed"][:, missing] == 0).all()
    (image,) = record("first")["images"]
    assert image["mmse"] is None
    assert image["samples"]["mse_ratio"] is None
    assert not Path("first/mmse.png").exists()
    hole = image["hole"]
    assert hole["share"] == pytest.approx(4 / 18)
    clean = exact["clean"]
    assert hole["samples"]["psnr"] == pytest.approx([metrics.psnr(clean, x, missing) for x in exact["samples"]])
    assert hole["posterior_mean"]["psnr"] == pytest.approx(metrics.psnr(clean, exact["mean"], missing))
    fill = biharmonic_fill(exact["observed"][None], exact["mask"])[0]
    assert hole["fill"]["psnr"] == pytest.approx(metrics.psnr(clean, fill, missing))
    tests = [metrics.residual_tests(exact["observed"] - x, 25 / 255, exact["mask"]) for x in exact["samples"]]
    assert image["residual"]["std_over_sigma"] == pytest.approx([test.std_over_sigma for test in tests])
    assert "hole: fill" in result.stdout


def test_an_observed_picture_has_no_truth(here):
    noisy = read_picture("gray.png") + np.random.default_rng(0).normal(0, 0.1, (1, 18, 16)).astype(np.float32)
    np.save("noisy.npy", noisy)
    done("noisy.npy", "--sigma", "0.1", "--samples", 2, "--out", "first")
    exact = load_file("first/samples.safetensors")
    np.testing.assert_array_equal(exact["observed"], noisy)
    assert "clean" not in exact
    (image,) = record("first")["images"]
    assert image["mmse"] == {"psnr": None, "ssim": None}
    assert image["posterior_mean"] == {"psnr": None, "ssim": None}
    assert image["samples"] == {"psnr": None, "ssim": None, "mse_ratio": None}
    assert len(image["residual"]["rho"]) == 2

    done("noisy.npy", "--sigma", "0.1", "--task", "inpaint", "-t", "mask=box:5", "--samples", 1, "--out", "second")
    (image,) = record("second")["images"]
    assert image["hole"]["fill"] is None
    assert not Path("second/std.png").exists()  # one sample has none
    assert torch.isnan(load_file("second/samples.safetensors")["std"]).all()


@pytest.mark.parametrize("task", [["denoise"], ["inpaint", "-t", "mask=random:0.5"]], ids=lambda task: task[0])
def test_sigma_auto_is_near_and_said(here, task):
    noise = np.random.default_rng(1).normal(0, 0.12, (3, 64, 64))
    np.save("noisy.npy", 0.5 + noise)
    result = done("noisy.npy", "--sigma", "auto", "--samples", 1, "--out", "first", "--task", *task)
    (image,) = record("first")["images"]
    assert image["sigma"] == pytest.approx(0.12, rel=0.1)
    assert f"estimated as {image['sigma']:.4f}" in result.stderr


def test_several_pictures_have_a_folder_and_noise_each(here):
    Path("more").mkdir()
    write_png("more/gray.png", read_picture("gray.png"))
    done("gray.png", "more/gray.png", "colour.png", "--simulate", "--samples", 2, "--seed", 7, "--out", "first")
    data = record("first")
    assert [image["name"] for image in data["images"]] == ["gray", "gray-2", "colour"]
    assert {p.name for p in Path("first").iterdir()} == {"run.json", "gray", "gray-2", "colour"}
    one, two = (load_file(f"first/{name}/samples.safetensors") for name in ("gray", "gray-2"))
    noises = torch.stack([(x["observed"] - x["clean"]).flatten() for x in (one, two)])
    assert abs(float(torch.corrcoef(noises)[0, 1])) < 0.3
    alone = done("gray.png", "--simulate", "--samples", 2, "--seed", 7, "--out", "alone")
    assert alone.exit_code == 0
    assert Path("first/gray/samples.safetensors").read_bytes() == Path("alone/samples.safetensors").read_bytes()


def test_without_a_picture_one_is_bundled(here):
    done("--size", "32", "--samples", 1)
    (image,) = record("runs/denoise-gaussian-field")["images"]
    assert image["name"] == "astronaut"
    assert image["shape"] == [3, 32, 32]
    assert image["mmse"]["psnr"] > 20
    done("--size", "32", "--samples", 1)
    assert Path("runs/denoise-gaussian-field-2/overview.png").exists()


def test_gray_size_and_crop(here):
    done("colour.png", "--simulate", "--gray", "--size", 12, "--crop", 10, "--samples", 1, "--out", "first")
    clean = load_file("first/samples.safetensors")["clean"]
    assert clean.shape == (1, 10, 10)
    assert abs(float(clean.mean()) - float(read_picture("colour.png").mean())) < 0.1


def test_snapshots(here):
    done("gray.png", "--simulate", "--samples", 2, "--snapshots", 3, "--out", "first")
    exact = load_file("first/samples.safetensors")
    assert exact["snapshots"].shape == (3, 1, 18, 16)
    torch.testing.assert_close(exact["snapshots"][-1], exact["samples"][0], rtol=0, atol=0)
    assert Path("first/snapshot-002.png").exists()


def test_batch_changes_nothing_but_seed_does(here):
    for name, words in {"a": [], "b": ["--batch", 1], "c": ["--seed", 1]}.items():
        done("gray.png", "--simulate", "--samples", 3, "--out", name, *words)
    files = [Path(name, "samples.safetensors").read_bytes() for name in "abc"]
    assert files[0] == files[1] != files[2]


def test_quiet_says_nothing_on_stderr(here):
    assert done("gray.png", "--simulate", "--samples", 1, "--out", "first", "-q").stderr == ""


def test_warnings_are_said_and_recorded(here):
    values = np.dstack([np.full((18, 16, 3), 99, np.uint8), np.full((18, 16), 100, np.uint8)])
    from PIL import Image

    Image.fromarray(values).save("glass.png")
    result = done("glass.png", "--sigma", "0.1", "--samples", 1, "--out", "first")
    (warning,) = record("first")["warnings"]
    assert "transparency" in warning
    assert f"snips: warning: {warning}\n" in result.stderr


def test_weights_are_hashed_by_value(here):
    from snips_cli.record import weights_hash

    class Wrapped:
        def __init__(self, network):
            self.inside = {"network": network}

    network = torch.nn.Linear(2, 2)
    assert weights_hash(Wrapped(network)) == weights_hash(network)
    before = weights_hash(network)
    with torch.no_grad():
        network.bias[0] += 1
    assert weights_hash(network) != before


# What it refuses

CLEAN = ["gray.png", "--simulate"]
BAD: dict[str, tuple[list[object], int, str]] = {
    "no such picture": (["absent.png", "--sigma", "0.1"], 1, "absent.png: no such file"),
    "empty picture": (["empty.png", "--sigma", "0.1"], 1, "empty.png: the file is empty"),
    "corrupt picture": (["corrupt.png", "--sigma", "0.1"], 1, "corrupt.png: cannot be read"),
    "wrong channels": (["five.npy", "--sigma", "0.1"], 1, "five.npy: shape"),
    "NaN": (["nan.npy", "--sigma", "0.1"], 1, "nan.npy: 1 values are NaN"),
    "0..255": (["big.npy", "--sigma", "0.1"], 1, "divide by 255"),
    "second picture bad": (["gray.png", "nan.npy", "--sigma", "0.1"], 1, "nan.npy"),
    "sigma missing": (["gray.png"], 2, "needs --sigma"),
    "sigma over 1": ([*CLEAN, "--sigma", "25"], 2, "did you mean 25/255?"),
    "sigma negative": ([*CLEAN, "--sigma", "-0.1"], 2, "positive"),
    "sigma zero": ([*CLEAN, "--sigma", "0"], 2, "positive"),
    "sigma NaN": ([*CLEAN, "--sigma", "nan"], 2, "positive"),
    "sigma text": ([*CLEAN, "--sigma", "loud"], 2, "not a number"),
    "sigma over nothing": ([*CLEAN, "--sigma", "1/0"], 2, "not a number"),
    "sigma auto of a clean picture": ([*CLEAN, "--sigma", "auto"], 2, "simulated"),
    "sigma auto of no noise": (["flat.npy", "--sigma", "auto"], 2, "no noise"),
    "sigma below all levels": ([*CLEAN, "--sigma", "0.001"], 2, "σ0 = 0.001"),
    "unknown denoiser": ([*CLEAN, "--denoiser", "gausian-field"], 2, "did you mean gaussian-field"),
    "unknown sampler": ([*CLEAN, "--sampler", "langvin"], 2, "did you mean langevin?"),
    "unknown task": ([*CLEAN, "--task", "paint"], 2, "did you mean inpaint?"),
    "unknown option": ([*CLEAN, "-s", "epsilom=1"], 2, "did you mean epsilon?"),
    "unknown option of a task": ([*CLEAN, "-t", "mask=text"], 2, "task denoise has no option mask"),
    "option of the wrong type": ([*CLEAN, "-s", "steps_per_level=some"], 2, "not of type int"),
    "option out of bounds": ([*CLEAN, "-s", "epsilon=-1"], 2, "positive"),
    "no samples": ([*CLEAN, "--samples", "0"], 2, "--samples"),
    "negative seed": ([*CLEAN, "--seed", "-1"], 2, "--seed"),
    "no dtype": ([*CLEAN, "--dtype", "float7"], 2, "float7"),
    "no device": ([*CLEAN, "--device", "abacus"], 1, "abacus"),
    "mask missing": (["gray.png", "--sigma", "0.1", "--task", "inpaint"], 2, "-t mask="),
    "mask of another size": ([*CLEAN, "--task", "inpaint", "-t", "mask=small.png"], 2, "small.png is 4×4 pixels"),
    "mask hides everything": ([*CLEAN, "--task", "inpaint", "-t", "mask=rows:18"], 2, "hides all"),
    "mask hides nothing": ([*CLEAN, "--task", "inpaint", "-t", "mask=random:0"], 2, "hides no pixel"),
    "mask unknown": ([*CLEAN, "--task", "inpaint", "-t", "mask=txt"], 2, "mask=txt"),
    "crop too large": ([*CLEAN, "--crop", "17"], 2, "has only 16 pixels"),
    "size of an observed picture": (["gray.png", "--sigma", "0.1", "--size", "8"], 2, "--size"),
    "out exists": ([*CLEAN, "--out", "there"], 1, "there exists"),
    "out is a file": ([*CLEAN, "--out", "gray.png", "--overwrite"], 1, "no run's folder"),
    "out is not a run's": ([*CLEAN, "--out", "there", "--overwrite"], 1, "no run's folder"),
    "out under a file": ([*CLEAN, "--out", "gray.png/first"], 1, "gray.png is no folder"),
    "out cannot be made": ([*CLEAN, "--out", "/proc/first"], 1, "/proc"),
    "out is here": ([*CLEAN, "--out", "."], 1, "--out"),
    "resume of nothing named": ([*CLEAN, "--resume"], 2, "--out"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_writes_nothing(here, monkeypatch, case):
    Path("empty.png").touch()
    Path("corrupt.png").write_bytes(Path("gray.png").read_bytes()[:100])
    np.save("five.npy", np.zeros((6, 6, 5)))
    np.save("nan.npy", np.where(np.indices((18, 16)).sum(0) == 3, np.nan, 0.5)[:1, :4])
    np.save("big.npy", np.full((18, 16), 200.0))
    np.save("flat.npy", np.full((18, 16), 0.5))
    write_png("small.png", np.eye(4))
    Path("there").mkdir()
    Path("there/thesis.txt").write_text("precious")
    called: list[int] = []
    monkeypatch.setattr(PowerLawField, "denoise", lambda *_: called.append(1))
    before = everything(here)

    words, code, says = BAD[case]
    result = run(*words)
    assert says in result.stderr
    assert result.stderr.startswith("snips: ")
    assert result.stderr.count("\n") == 1
    assert result.exit_code == code
    assert result.stdout == ""
    assert everything(here) == before
    assert called == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_no_gpu(here):
    result = run(*CLEAN, "--device", "cuda")
    assert result.exit_code == 1
    assert "device cuda cannot be used here" in result.stderr


class TestNarrow:
    """A denoiser for some σ and gray pictures only."""

    @pytest.fixture(autouse=True)
    def narrow(self, monkeypatch):
        monkeypatch.setattr(PowerLawField, "noise_levels", snips.NoiseLevels(0.05, 0.06), raising=True)
        monkeypatch.setattr(PowerLawField, "channels", (1,), raising=False)

    def test_sigma_outside_its_range(self, here):
        before = everything(here)
        result = run(*CLEAN)
        assert result.exit_code == 2
        assert "[0.05, 0.06]" in result.stderr
        assert result.stderr.count("\n") == 1
        assert everything(here) == before

    @pytest.mark.parametrize("policy", ["clamp", "scale"])
    def test_a_policy_is_stated_and_recorded(self, here, policy):
        result = done(*CLEAN, "--samples", 1, "--out", "first", "--out-of-range", policy)
        data = record("first")
        assert data["request"]["out_of_range"] == policy
        (warning,) = data["warnings"]
        assert policy in warning
        assert warning in result.stderr
        assert data["images"][0]["mmse"]["psnr"] is not None

    def test_colour_is_refused_and_gray_is_the_remedy(self, here):
        words = ["colour.png", "--simulate", "--sigma", "0.061", "-s", "sigma_min=0.05", "--samples", 1]
        result = run(*words, "--out", "first")
        assert result.exit_code == 1
        assert "--gray" in result.stderr
        result = done(*words, "--gray", "--out", "first")
        assert "no MMSE estimate" in result.stderr  # σ0 itself lies outside
        assert record("first")["images"][0]["mmse"] is None

    def test_the_bundled_picture_is_made_gray(self, here):
        done("--size", 16, "--sigma", "0.06", "-s", "sigma_min=0.05", "--samples", 1, "--out", "first")
        assert record("first")["images"][0]["shape"] == [1, 16, 16]


# Whole or not at all


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


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limits")
def test_a_disk_that_fills_up_keeps_what_was_sampled(here, reference):
    import resource

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


PROGRAM = """
import sys, time
import snips.analytic, snips.runs
snips.runs.SAVE_EVERY = 0.0
denoise = snips.analytic.PowerLawField.denoise
def slow(self, x, sigma):
    time.sleep(0.002)
    return denoise(self, x, sigma)
snips.analytic.PowerLawField.denoise = slow
from snips_cli.main import main
main(sys.argv[1:])
"""


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
