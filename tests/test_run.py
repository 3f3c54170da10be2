"""snips run: what it writes, and that the figures are those of what it wrote."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import load_file

import snips
from runs import done, record
from snips import metrics
from snips.analytic import PowerLawField
from snips.classical import biharmonic_fill
from snips.images import read_picture, write_png
from snips_cli.main import main
from snips_cli.record import weights_hash


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
    assert "hole PSNR of fill" in result.stdout


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


def test_the_packaged_network_is_the_default(here):
    words = ["--task", "inpaint", "--sampler", "noise-split", "--size", "48", "--samples", "1", "--device", "cpu"]
    result = CliRunner().invoke(main, ["run", *words, "--out", "first"])
    assert result.exit_code == 0, result.output
    data = record("first")
    assert data["denoiser"]["card"]["name"] == "drunet-small"
    assert len(data["denoiser"]["weights_sha256"]) == 64
    (image,) = data["images"]
    assert image["hole"]["posterior_mean"]["psnr"] > image["hole"]["fill"]["psnr"] - 1


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
    Image.fromarray(values).save("glass.png")
    result = done("glass.png", "--sigma", "0.1", "--samples", 1, "--out", "first")
    (warning,) = record("first")["warnings"]
    assert "transparency" in warning
    assert f"snips: warning: {warning}\n" in result.stderr


def test_weights_are_hashed_by_value(here):
    class Wrapped:
        def __init__(self, network):
            self.inside = {"network": network}

    network = torch.nn.Linear(2, 2)
    assert weights_hash(Wrapped(network)) == weights_hash(network)
    before = weights_hash(network)
    with torch.no_grad():
        network.bias[0] += 1
    assert weights_hash(network) != before
