"""What a denoiser implies as a prior: known exactly for Gaussians and mixtures, and seen to be wrong where it is."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

import snips
from shared import SHARED, needs_shared
from snips.analytic import GaussianMixturePrior, GaussianPrior, GrayLevels, PowerLawField, power_law_spectrum
from snips.errors import InvalidValue, NoiseLevelError
from snips.images import write_png
from snips.priors import along_a_path, linearise, martingale
from snips_cli.main import main

FIELD = PowerLawField()


class Linear:
    """D(x, σ) = A x for a picture as a vector."""

    noise_levels = snips.NoiseLevels(0.01, 1.0)

    def __init__(self, matrix: torch.Tensor) -> None:
        self.matrix = matrix.double()

    def denoise(self, x, sigma):
        return (x.double().flatten(1) @ self.matrix.T).reshape(x.shape).to(x)


class Shifted:
    """The Gaussian field's denoiser, everything a little too bright: the posterior mean of nothing."""

    noise_levels = FIELD.noise_levels

    def denoise(self, x, sigma):
        return FIELD.denoise(x, sigma) + 0.05


def noisy_field(side: int, sigma: float, count: int = 1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws of the field (count, 1, side, side), clean and at level σ."""
    generator = torch.Generator().manual_seed(seed)
    spectrum = power_law_spectrum(side, side, FIELD.power, FIELD.std)
    white = torch.randn(count, 1, side, side, dtype=torch.float64, generator=generator)
    clean = FIELD.mean + torch.fft.ifft2(spectrum.sqrt() * torch.fft.fft2(white)).real
    return clean, clean + sigma * torch.randn(clean.shape, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("sigma", [0.05, 0.3])
def test_the_dimension_of_a_gaussian_field_is_exact(sigma):
    found = linearise(FIELD, noisy_field(24, sigma)[1][0], sigma, probes=32)
    spectrum = power_law_spectrum(24, 24, FIELD.power, FIELD.std)
    exact = float((spectrum / (spectrum + sigma**2)).sum())
    assert found.dimension == pytest.approx(exact, abs=4 * found.error)
    assert found.error < 0.03 * exact
    assert found.asymmetry < 1e-6
    assert found.pixels == 24 * 24


def test_a_white_prior_needs_one_probe():
    prior = GaussianPrior(torch.zeros(1, 4, 4), 0.04 * torch.eye(16))
    found = linearise(prior, torch.rand(1, 4, 4), 0.1, probes=2)
    assert found.dimension == pytest.approx(16 * 0.8)
    assert found.error == pytest.approx(0, abs=1e-9)


def test_the_dimension_of_a_mixture_is_the_trace_of_its_jacobian():
    means = torch.stack([torch.full((1, 2, 3), m) for m in (0.2, 0.8)])
    prior = GaussianMixturePrior(torch.tensor([0.4, 0.6]), means, 0.01 * torch.eye(6))
    x, σ = means.mean(0).double() + 0.02, 0.4  # between the two, where the choice of one makes most of the spread
    D = lambda v: prior.denoise(v.reshape(1, 1, 2, 3), torch.full((1,), σ, dtype=torch.float64)).flatten()  # noqa: E731
    exact = torch.autograd.functional.jacobian(D, x.flatten())
    found = linearise(prior, x, σ, probes=400)
    assert found.dimension == pytest.approx(float(exact.trace()), abs=4 * found.error)
    assert found.asymmetry < 1e-3
    assert float(exact.trace()) > 2 * 6 * 0.01 / (0.01 + σ**2)


@pytest.mark.parametrize(
    ("matrix", "asymmetry"),
    [
        (torch.eye(64), 0.0),
        (torch.roll(torch.eye(64), 1, 0), math.sqrt(0.5)),  # ‖P − Pᵀ‖² = 2d, ‖P‖² = d
        (torch.kron(torch.eye(32), torch.tensor([[0.0, -1.0], [1.0, 0.0]])), 1.0),
        (0.5 * torch.eye(64) + 0.5 * torch.roll(torch.eye(64), 1, 0), 0.5),
    ],
)
def test_asymmetry_of_known_matrices(matrix, asymmetry):
    found = linearise(Linear(matrix), torch.rand(1, 8, 8), 0.2, probes=48)
    assert found.asymmetry == pytest.approx(asymmetry, abs=0.05)
    assert found.dimension == pytest.approx(float(matrix.trace()), abs=max(4 * found.error, 1e-6))


def test_a_gaussian_prior_is_a_martingale():
    x = noisy_field(16, 0.3)[1][0]
    drift = martingale(FIELD, x, 0.3, 0.1, draws=24)
    assert abs(drift.squared) < 4 * drift.error
    assert drift.error < 0.1 * drift.spread


def test_the_spread_on_the_way_is_that_of_the_posterior():
    # For N(0, v): D(x_s, s) given x_t has variance v − (the variance left at s) short of that left at t.
    v, t, s = 0.04, 0.3, 0.1
    prior = GaussianPrior(torch.zeros(1, 12, 12), v * torch.eye(144))
    drift = martingale(prior, torch.zeros(1, 12, 12), t, s, draws=16, steps=40)
    left = {σ: v * σ**2 / (v + σ**2) for σ in (t, s)}
    assert drift.spread == pytest.approx(left[t] - left[s], rel=0.1)


def test_a_mixture_is_a_martingale_as_the_steps_go_to_zero():
    prior = GrayLevels(3, 0.05)
    x = torch.full((1, 2, 2), 0.35, dtype=torch.float64)
    drift = martingale(prior, x, 0.4, 0.1, draws=600, steps=60, batch=600)
    assert abs(drift.squared) < max(4 * drift.error, 0.01 * drift.spread)
    assert drift.spread > 0.01


def test_what_is_no_posterior_mean_drifts():
    x = noisy_field(16, 0.3)[1][0]
    drift = martingale(Shifted(), x, 0.3, 0.1, draws=16)
    assert drift.squared > 10 * drift.error


def test_pythagoras_holds_on_pictures_of_the_law_and_no_others():
    clean, noisy = noisy_field(16, 0.3, count=60)
    paths = [along_a_path(FIELD, c, x, 0.3, 0.15, seed) for seed, (c, x) in enumerate(zip(clean, noisy, strict=True))]
    here, later, between = (sum(getattr(p, name) for p in paths) for name in ("here", "later", "between"))
    assert later + between == pytest.approx(here, rel=0.02)
    flat = torch.full((1, 16, 16), 0.5, dtype=torch.float64)
    path = along_a_path(FIELD, flat, flat + (noisy - clean)[0], 0.3, 0.15)
    assert path.later + path.between > 1.2 * path.here


def test_bad_values_are_named():
    x = torch.rand(1, 4, 4)
    with pytest.raises(InvalidValue, match="at least 2 probes, not 1"):
        linearise(FIELD, x, 0.1, probes=1)
    with pytest.raises(NoiseLevelError, match="not for 2"):
        linearise(Linear(torch.eye(16)), x, 2.0)
    for t, s in ((0.1, 0.2), (0.1, 0.0)):
        with pytest.raises(InvalidValue, match="0 < s < t"):
            martingale(FIELD, x, t, s)


def bench(*words: object) -> Result:
    return CliRunner().invoke(main, ["bench", "priors", *map(str, words)])


@pytest.fixture(scope="module")
def fields(tmp_path_factory) -> str:
    """A folder of draws of the Gaussian field, as floats: nothing is clipped."""
    folder = tmp_path_factory.mktemp("fields")
    for index, clean in enumerate(noisy_field(24, 0.0, count=8)[0]):
        np.save(folder / f"{index}.npy", clean.float().numpy())
    return str(folder)


def test_the_command_finds_the_true_prior_exact_and_another_not(fields):
    words = ("--crop", 24, "--sigma", 0.2, "--json", "--probes", 8, "--draws", 4, "--steps", 4)
    result = bench(fields, "--denoiser", "gaussian-field", "--denoiser", "gaussian-field:std=0.4", *words)
    assert result.exit_code == 0, result.output
    true, wide = json.loads(result.stdout)
    spectrum = power_law_spectrum(24, 24, 2.0, 0.2)
    assert true["dimension"] == pytest.approx(
        float((spectrum / (spectrum + 0.04)).sum()), abs=4 * true["dimension_error"]
    )
    assert true["share"] == pytest.approx(true["dimension"] / 576)
    assert true["expected_over_actual"] == pytest.approx(1, abs=0.06)
    assert true["pythagoras"] == pytest.approx(1, abs=0.03)
    assert true["asymmetry"] < 1e-6
    assert true["drift"] < 2 * true["drift_floor"]
    assert wide["expected_over_actual"] > 1.3
    assert wide["asymmetry"] < 1e-6
    assert true["psnr"] > wide["psnr"]


def test_the_table_and_how_to_read_it(fields):
    result = bench(fields, "--denoiser", "gaussian-field", "--crop", 8, "--every", 8, "--probes", 2, "--draws", 2)
    assert result.exit_code == 0, result.output
    lines = [line.split("|")[1:-1] for line in result.stdout.splitlines() if line.startswith("| gaussian-field")]
    assert [line[2].strip() for line in lines] == ["25", "50"]
    assert all(line[7].strip() == "0.000" for line in lines)
    assert "Pythagoras: " in result.stdout


def test_a_network_of_one_level_has_no_way_down(tmp_path, monkeypatch):
    from snips_cli import bench_priors

    class Single(Linear):
        noise_levels = snips.NoiseLevels(0.1, 0.1, only=(0.1,))

    assert bench_priors.level_below(Single(torch.eye(4)), 0.1) is None
    assert bench_priors.level_below(Linear(torch.eye(4)), 0.0105) is None
    assert bench_priors.level_below(Linear(torch.eye(4)), 0.1) == 0.05
    assert bench_priors.number(None, 2) == "–"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--denoiser", "gausian-field"], "did you mean gaussian-field"),
        (["--denoiser", "gaussian-field", "--sigma", "0"], "--sigma 0: not a positive number"),
        (["none", "--denoiser", "gaussian-field"], "none: no such folder"),
        (["fields", "--denoiser", "gaussian-field"], "--crop 64: small has only 20 pixels"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fields").mkdir()
    write_png(tmp_path / "fields" / "small.png", np.zeros((20, 20)))
    result = bench(*words)
    assert result.exit_code in (1, 2)
    assert message in result.output
    assert result.output.strip().count("\n") == 0


@needs_shared
@pytest.mark.weights
def test_a_real_network_is_nearly_a_prior():
    words = ("--crop", 32, "--gray", "--sigma", "25/255", "--json", "--probes", 6, "--draws", 3, "--steps", 3)
    result = bench("--denoiser", f"ffdnet:weights={SHARED}/weights/kair_ffdnet_gray.pth", *words)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert len(found) == 2
    for one in found:
        assert 0.03 < one["share"] < 0.4
        assert 0.02 < one["asymmetry"] < 0.4
        assert 0.5 < one["expected_over_actual"] < 1.5
        assert one["pythagoras"] == pytest.approx(1, abs=0.15)
