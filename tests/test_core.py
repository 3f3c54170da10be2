"""The small parts of core: noise streams, observations, ranges, adapters, and which package knows which."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import snips
from snips import adapters
from snips.errors import InvalidValue
from snips.ranges import WithinRange

ROOT = Path(__file__).parents[1]


# Noise


def test_a_rows_noise_is_its_own():
    rows = [(0, 0), (0, 1), (1, 0)]
    together = snips.Noise(7, rows, (1, 4, 5)).at(3).normal()
    alone = torch.cat([snips.Noise(7, [row], (1, 4, 5)).at(3).normal() for row in rows])
    assert torch.equal(together, alone)
    assert len({tuple(x.flatten().tolist()) for x in together}) == 3


def test_noise_depends_on_seed_step_and_draw_and_can_be_gone_back_to():
    noise = snips.Noise(0, [(0, 0)], (1, 4, 4))
    first, second = noise.at(1).normal(), noise.normal()
    assert not torch.equal(first, second)
    assert not torch.equal(first, noise.at(2).normal())
    assert not torch.equal(first, snips.Noise(1, [(0, 0)], (1, 4, 4)).at(1).normal())
    assert torch.equal(first, noise.at(1).normal())


def test_noise_is_standard_normal_across_rows_and_steps():
    rows = [(i, k) for i in range(10) for k in range(20)]
    noise = snips.Noise(3, rows, (1, 16, 16))
    z = torch.stack([noise.at(step).normal() for step in range(4)]).double()
    n = z.numel()
    assert abs(z.mean()) < 4 / n**0.5
    assert abs(z.square().mean() - 1) < 4 * (2 / n) ** 0.5
    flat = z.transpose(0, 1).flatten(1)
    correlation = torch.corrcoef(flat)
    off = correlation[~torch.eye(len(rows), dtype=torch.bool)]
    assert off.abs().max() < 6 / flat.shape[1] ** 0.5


# Observations


def test_what_a_mask_hides_may_be_nan():
    y = torch.tensor([[[0.5, float("nan")], [0.1, 0.2]]])
    observed = snips.Observation(y, 0.1, snips.Mask([[1, 0], [1, 1]]))
    assert observed.operator.adjoint(observed.batch).isfinite().all()
    with pytest.raises(InvalidValue, match="1 observed values of y are NaN"):
        snips.Observation(y, 0.1)


@pytest.mark.parametrize("sigma", [0.0, -0.1, float("nan"), float("inf")])
def test_sigma_must_be_positive(sigma):
    with pytest.raises(InvalidValue, match="sigma"):
        snips.Observation(torch.zeros(1, 4, 4), sigma)


@pytest.mark.parametrize(
    ("y", "mask", "message"),
    [
        (torch.zeros(4, 4), None, r"\(C, H, W\)"),
        (torch.zeros(1, 4, 4), torch.ones(4, 5), "fit"),
        (torch.zeros(1, 4, 4), torch.ones(3, 4, 4), "fit"),
        (torch.zeros(1, 1, 4), torch.ones(4, 4), "fit"),
        (torch.zeros(1, 4, 4), torch.zeros(4, 4), "hides every pixel"),
        (torch.zeros(1, 4, 4), torch.full((4, 4), 0.5), "between"),
        (torch.zeros(1, 4, 4), torch.ones(4), r"\(H, W\)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(y, mask, message):
    with pytest.raises(InvalidValue, match=message):
        snips.Observation(y, 0.1, snips.Identity() if mask is None else snips.Mask(mask))


def test_observations_take_arrays():
    observed = snips.Observation(np.zeros((1, 4, 4), np.float32), 0.1, snips.Mask(np.ones((4, 4), bool)))
    assert observed.image_shape == (1, 4, 4)


# Ranges and noise levels


def test_noise_levels_know_what_is_in_them():
    assert 0.1 in snips.NoiseLevels(0.0, 0.1)
    assert 0.11 not in snips.NoiseLevels(0.0, 0.1)
    assert 25 / 255 in snips.NoiseLevels(0.05, 0.2, only=(25 / 255, 50 / 255))
    assert 0.1 not in snips.NoiseLevels(0.05, 0.2, only=(25 / 255, 50 / 255))
    with pytest.raises(InvalidValue):
        snips.NoiseLevels(0.2, 0.1)


class Sees:
    """Answers with what it was called with: x + 100 σ."""

    noise_levels = snips.NoiseLevels(0.1, 0.2)

    def denoise(self, x, sigma):
        return x + 100 * sigma[:, None, None, None]


def test_clamping_and_scaling():
    x = torch.ones(3, 1, 1, 1)
    sigma = torch.tensor([0.05, 0.15, 0.4])
    clamped = WithinRange(Sees(), "clamp").denoise(x, sigma).flatten()
    assert torch.allclose(clamped, torch.tensor([11.0, 16.0, 21.0]))
    scaled = WithinRange(Sees(), "scale").denoise(x, sigma).flatten()
    assert torch.allclose(scaled, torch.tensor([1 + 5.0, 16.0, 1 + 40.0]))


def test_scaling_goes_to_the_nearest_of_single_levels():
    class Only(Sees):
        noise_levels = snips.NoiseLevels(0.1, 0.2, only=(0.1, 0.2))

    clamped = WithinRange(Only(), "clamp").denoise(torch.zeros(3, 1, 1, 1), torch.tensor([0.12, 0.16, 3.0])).flatten()
    assert torch.allclose(clamped, torch.tensor([10.0, 20.0, 20.0]))


# Adapters: the same Gaussian denoiser in every guise

WIDE = snips.NoiseLevels(0.0, 10.0)
TRUTH = snips.analytic.PowerLawField()
X = torch.rand(3, 3, 6, 6, generator=torch.Generator().manual_seed(0))
SIGMA = torch.tensor([0.1, 0.2, 0.2])


def column(sigma):
    return sigma[:, None, None, None]


def at(level):
    return lambda x: TRUTH.denoise(x, torch.full((len(x),), level))


def wiener(picture, sigma):
    x = torch.from_numpy(picture).movedim(-1, 0)[None]
    return TRUTH.denoise(x, torch.tensor([sigma]))[0].movedim(0, -1).numpy()


class InSymmetricRange:
    noise_levels = snips.NoiseLevels(0.0, 2.0)

    def denoise(self, x, sigma):
        return 2 * TRUTH.denoise((x + 1) / 2, sigma / 2) - 1


GUISES = {
    "score": adapters.ScoreNetwork(lambda x, s: (TRUTH.denoise(x, s) - x) / column(s).square(), WIDE),
    "noise": adapters.NoisePredictor(lambda x, s: (x - TRUTH.denoise(x, s)) / column(s), WIDE),
    "residual": adapters.ResidualPredictor(lambda x, s: x - TRUTH.denoise(x, s), WIDE),
    "bank": adapters.Bank({0.1: at(0.1), 0.2: at(0.2)}),
    "symmetric": adapters.Symmetric(InSymmetricRange()),
    "numpy": adapters.NumpyFunction(wiener, WIDE),
}


@pytest.mark.parametrize("guise", GUISES)
def test_adapters_give_back_the_denoiser(guise):
    assert torch.allclose(GUISES[guise].denoise(X, SIGMA), TRUTH.denoise(X, SIGMA), atol=1e-5)


def test_blind_networks_are_called_with_the_picture_alone():
    blind = adapters.Blind(at(0.2), 0.0, 0.3)
    assert blind.noise_levels == snips.NoiseLevels(0.0, 0.3, blind=True)
    assert torch.allclose(blind.denoise(X, SIGMA), TRUTH.denoise(X, torch.full((3,), 0.2)))
    residual = adapters.ResidualPredictor(lambda x: 0 * x + 0.1, WIDE, sigma_input=False)
    assert torch.allclose(residual.denoise(X, SIGMA), X - 0.1)


def test_symmetric_halves_the_levels():
    assert GUISES["symmetric"].noise_levels == snips.NoiseLevels(0.0, 1.0)


def test_a_bank_has_no_levels_between():
    bank = GUISES["bank"]
    assert bank.noise_levels.only == (0.1, 0.2)
    with pytest.raises(InvalidValue, match="not for 0.15"):
        bank.denoise(X, torch.full((3,), 0.15))
    with pytest.raises(InvalidValue, match="at least one"):
        adapters.Bank({})


def test_gray_numpy_functions_see_two_dimensions():
    seen = []
    gray = adapters.NumpyFunction(lambda picture, sigma: seen.append(picture.shape) or picture / 2, WIDE)
    x = torch.rand(2, 1, 4, 5)
    assert torch.allclose(gray.denoise(x, torch.ones(2)), x / 2)
    assert seen == [(4, 5)] * 2


# Tweedie


def test_score_and_denoise_take_numbers_and_rows():
    assert torch.allclose(snips.score(TRUTH, X, 0.2)[1:], snips.score(TRUTH, X, SIGMA)[1:])
    assert snips.denoise(TRUTH, X[0], 0.1).shape == X[0].shape
    with pytest.raises(InvalidValue, match="sigma"):
        snips.score(TRUTH, X, torch.tensor([0.1, 0.2]))
    with pytest.raises(InvalidValue, match="picture"):
        snips.denoise(TRUTH, X[0, 0], 0.1)


# Who knows whom


def imported(folder):
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                yield path.relative_to(ROOT), name.split(".")[0]


@pytest.mark.parametrize(
    ("folder", "strangers"),
    [("core/snips", {"snips_plugins", "snips_cli"}), ("plugins/snips_plugins", {"snips_cli"})],
)
def test_lower_packages_know_nothing_of_higher_ones(folder, strangers):
    seen = list(imported(folder))
    assert seen
    assert [(str(path), name) for path, name in seen if name in strangers] == []


def test_the_interfaces_come_without_torch():
    code = """
import sys, snips
from snips import Level, MMSEDenoiser, NoiseLevels, Operator, PosteriorSampler, State
snips.denoisers(), snips.samplers(), snips.tasks()
assert "torch" not in sys.modules, "torch was imported"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_there():
    assert set(snips.__all__) == {*snips._NAMES, *snips._MODULES}
    for name in snips.__all__:
        assert getattr(snips, name) is not None
    assert isinstance(TRUTH, snips.MMSEDenoiser)
    assert isinstance(snips.load_sampler("langevin"), snips.PosteriorSampler)
    assert isinstance(snips.Identity(), snips.Operator)
    with pytest.raises(AttributeError, match="nothing_like_it"):
        snips.nothing_like_it  # noqa: B018
