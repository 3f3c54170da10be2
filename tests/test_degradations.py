"""The tasks beyond denoising and inpainting: what they make of a few words, and `snips run` on each of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

import snips
from snips import metrics
from snips.classical import smoothing_spline
from snips.errors import ImageError, InvalidValue
from snips.images import read_picture, read_values, write_png
from snips.operators.blur import gaussian_kernel, uniform_kernel
from snips.tasks import picture_shape, simulate
from snips_cli.main import main
from snips_plugins.tasks.degradations import Colorize, Compressive, Deblur, Linear, Superres, parse_kernel

QUICK = ["run", "--denoiser", "gaussian-field", "--device", "cpu", "-s", "steps=8", "--samples", "2", "--out", "first"]


def run(*words):
    return CliRunner().invoke(main, [*QUICK, *map(str, words)])


def finished(*words):
    result = run(*words)
    assert result.exit_code == 0, result.output
    (image,) = json.loads(Path("first/run.json").read_text())["images"]
    return image, load_file("first/samples.safetensors"), result


def line(result):
    """The one line of an expected error."""
    assert result.exit_code == 2, result.output
    (only,) = result.stderr.splitlines()
    assert not Path("first").exists()
    return only


@pytest.fixture
def small(here):
    """Clean pictures of 16×8: sides that 2, 4 and 8 divide."""
    y, x = np.mgrid[:16, :8] / 16
    write_png("gray.png", 0.5 + 0.3 * np.sin(5 * x + 3 * y))
    write_png("colour.png", np.stack([0.5 + 0.3 * np.sin(5 * x + k * y) for k in range(3)]))
    np.save("matrix.npy", np.random.default_rng(0).standard_normal((40, 128)) / 8)
    return here


TASKS = {
    "deblur": (["-t", "kernel=gaussian:0.8"], (3, 16, 8)),
    "superres": (["-t", "factor=2", "-t", "kind=bicubic"], (3, 8, 4)),
    "colorize": ([], (1, 16, 8)),
    "compressive": (["-t", "share=0.5"], (3, 1, 64)),
    "linear": (["-t", "matrix=matrix.npy"], (3, 1, 40)),
}


@pytest.mark.parametrize("name", TASKS)
def test_a_simulated_run(small, name):
    words, observed_shape = TASKS[name]
    image, exact, result = finished("colour.png", "--simulate", "--task", name, *words, "--sigma", 0.05)
    assert f"by {snips.plugins.best_sampler(name)} on cpu" in result.stderr
    assert image["shape"] == [3, 16, 8]
    assert image["observed_shape"] == list(observed_shape)
    assert exact["samples"].shape == (2, 3, 16, 8)
    options = {pair.partition("=")[0]: pair.partition("=")[2] for pair in words if "=" in pair}
    operator = snips.load_task(name, **options).operator((3, 16, 8), 0)
    observation = simulate(exact["clean"], operator, 0.05, 0)
    assert observation.y.shape == observed_shape
    posterior = snips.sample(
        observation, "gaussian-field", snips.load_sampler(snips.plugins.best_sampler(name), steps=8), samples=2
    )
    torch.testing.assert_close(exact["samples"], posterior.samples, rtol=0, atol=0)
    spline = smoothing_spline(observation.batch, operator, 0.05)[0]
    assert image["spline"]["psnr"] == pytest.approx(metrics.psnr(exact["clean"], spline), abs=1e-3)
    tests = [metrics.residual_tests(observation.y - operator.forward(x[None])[0], 0.05) for x in exact["samples"]]
    assert image["residual"]["std_over_sigma"] == pytest.approx([test.std_over_sigma for test in tests], rel=1e-4)
    assert "PSNR of spline" in result.stdout
    assert read_picture("first/overview.png").shape[2] > 4 * 128


@pytest.mark.parametrize("name", TASKS)
def test_an_observed_run(small, name):
    words, observed_shape = TASKS[name]
    y = np.random.default_rng(1).random(observed_shape).astype(np.float32)
    np.save("y.npy", y if observed_shape[1] == 1 else np.moveaxis(y, 0, -1))
    more = {"compressive": ["-t", "size=16x8"], "linear": ["-t", "shape=3x16x8"]}.get(name, [])
    image, exact, _ = finished("y.npy", "--task", name, *words, *more, "--sigma", 0.1)
    assert image["shape"] == [3, 16, 8]
    assert image["spline"] == {"psnr": None, "ssim": None}
    assert exact["samples"].shape == (2, 3, 16, 8)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["deblur", "-t", "kernel=uniform:9"], r"kernel \(9×9\) is larger than the picture \(16×8\)"),
        (["deblur", "-t", "kernel=boxcar:3"], "neither uniform:SIDE nor gaussian:STD nor a file"),
        (["superres", "-t", "factor=3"], "factor 3 does not divide the picture's 16×8"),
        (["compressive", "-t", "share=2"], "share of coefficients"),
        (["linear"], "needs its matrix"),
        (["linear", "-t", "matrix=none.npy"], "no such file|No such file"),
        (["colorize", "--gray"], "for colour pictures"),
        (
            ["deblur", "--sampler", "reverse-sde"],
            "reverse-sde does denoise, not deblur; for deblur there is .*noise-split",
        ),
        (["deblur", "-t", "kernel=uniform:3", "-s", "rho=0.9"], "rho=0.9 must lie between 0 and σ0/‖H‖ = 0.1"),
    ],
)
def test_bad_input_is_one_line(small, words, message):
    assert re.search(message, line(run("colour.png", "--simulate", "--sigma", 0.1, "--task", *words)))


def test_an_observed_task_needs_to_know_what_was_done(small):
    np.save("y.npy", np.zeros(64, np.float32))
    assert "needs its kernel" in line(run("colour.png", "--task", "deblur", "--sigma", 0.1))
    assert "needs its size" in line(run("y.npy", "--task", "compressive", "-t", "share=0.5", "--sigma", 0.1))
    words = ["y.npy", "--task", "compressive", "-t", "share=0.5", "-t", "size=16x8"]
    assert "--sigma auto goes by the pixels" in line(run(*words, "--sigma", "auto"))
    assert "--crop are for pictures" in line(run(*words, "--sigma", 0.1, "--crop", 4))
    assert "needs a gray picture" in line(run("colour.png", "--task", "colorize", "--sigma", 0.1))


def test_kernels_in_words_and_files(tmp_path):
    torch.testing.assert_close(parse_kernel("uniform:5"), uniform_kernel(5))
    torch.testing.assert_close(parse_kernel("gaussian:3/2"), gaussian_kernel(1.5))
    np.save(tmp_path / "k.npy", 3 * np.arange(6.0).reshape(2, 3))
    expected = torch.arange(6.0, dtype=torch.float64).reshape(2, 3) / 15
    torch.testing.assert_close(parse_kernel(str(tmp_path / "k.npy")), expected)
    write_png(tmp_path / "k.png", np.eye(3))
    torch.testing.assert_close(parse_kernel(str(tmp_path / "k.png")), torch.eye(3, dtype=torch.float64) / 3)
    np.save(tmp_path / "zero.npy", np.array([[1.0, -1.0]]))
    for wrong in (
        f"{tmp_path}/zero.npy",
        "uniform:0",
        "uniform:2.5",
        "uniform:99999",
        "gaussian:-1",
        "gaussian:nan",
        "x",
    ):
        with pytest.raises(InvalidValue, match="kernel="):
            Deblur(kernel=wrong)


def test_shapes_of_the_picture_sought():
    assert picture_shape(Deblur(), (3, 8, 9)) == (3, 8, 9)
    assert picture_shape(Superres(factor=4), (3, 8, 9)) == (3, 32, 36)
    assert picture_shape(Colorize(), (1, 8, 9)) == (3, 8, 9)
    assert picture_shape(Compressive(size="16x32"), (3, 1, 70)) == (3, 16, 32)
    for wrong in (None, "16", "16x", "axb", "16x0"):
        with pytest.raises(InvalidValue, match="HEIGHTxWIDTH"):
            picture_shape(Compressive(size=wrong), (3, 1, 70))


def test_linear_takes_the_shape_it_is_told(small):
    task = Linear(matrix="matrix.npy", shape="1x16x8")
    assert picture_shape(task, (1, 1, 40)) == (1, 16, 8)
    assert task.operator((3, 16, 8), 0).forward(torch.zeros(2, 3, 16, 8)).shape == (2, 3, 1, 40)


def test_measured_values_are_read_as_they_are(tmp_path):
    for shape, expected in (((5,), (1, 1, 5)), ((3, 5), (3, 1, 5)), ((3, 4, 5), (3, 4, 5))):
        np.save(tmp_path / "y.npy", np.full(shape, 99.0))
        assert read_values(tmp_path / "y.npy").shape == expected
    assert read_values(tmp_path / "y.npy").max() == 99
    (tmp_path / "y.png").write_text("x")
    (tmp_path / "broken.npy").write_text("x")
    np.save(tmp_path / "nan.npy", np.array([np.nan]))
    np.save(tmp_path / "words.npy", np.array(["a"]))
    for name in ("y.png", "missing.npy", "broken.npy", "nan.npy", "words.npy"):
        with pytest.raises(ImageError) as caught:
            read_values(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_the_smoothing_spline_minimises_what_it_says():
    operator = snips.Downsample((8, 8), 2)
    y = torch.rand(2, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = smoothing_spline(y, operator, 0.1, steps=500)

    def cost(x):
        bend = x.roll(1, 2) + x.roll(-1, 2) + x.roll(1, 3) + x.roll(-1, 3) - 4 * x
        tint = x - x.mean(1, keepdim=True)
        return float(
            (y - operator.forward(x)).square().sum() / 0.01 + (bend / 0.1).square().sum() + (tint / 0.2).square().sum()
        )

    for seed in range(5):
        assert cost(x) <= cost(
            x + 0.01 * torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(seed))
        )
    gray = smoothing_spline(torch.full((1, 1, 4, 4), 0.3), snips.Grayscale(), 0.01)
    torch.testing.assert_close(gray, torch.full((1, 3, 4, 4), 0.3), atol=2e-3, rtol=0)


def test_the_commands_of_the_page_run(small):
    page = (Path(__file__).resolve().parents[1] / "docs/tasks.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\$ snips (run .*)$", page, re.MULTILINE)
    assert len(commands) == 7
    photo = np.kron(read_picture("colour.png"), np.ones((1, 1, 2)))  # 16×16
    write_png("photo.png", photo)
    write_png("small.png", photo[:, ::2, ::2])
    np.save("matrix.npy", np.eye(256)[::3])
    np.save("measured.npy", np.zeros((3, 128), np.float32))
    for index, command in enumerate(commands):
        quick = [
            "--denoiser",
            "gaussian-field",
            "-s",
            "steps=5",
            "--samples",
            "1",
            "--device",
            "cpu",
            "--out",
            f"out{index}",
        ]
        result = CliRunner().invoke(main, [*command.split(), *quick])
        assert result.exit_code == 0, f"{command}\n{result.output}"
