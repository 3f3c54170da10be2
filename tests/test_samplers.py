"""The fast samplers: their plans, and their exact distance from known posteriors."""

from __future__ import annotations

import pytest
import torch

import snips
from snips.errors import InvalidValue, NoiseLevelError, OptionError, UnsupportedOperator
from snips.truth import relative_w2
from snips_plugins.samplers.noise_split import NoiseSplit
from snips_plugins.samplers.reverse_sde import ReverseSDE

HALF = torch.rand(8, 8, generator=torch.Generator().manual_seed(2)) < 0.5
BOX = torch.ones(8, 8)
BOX[2:6, 2:6] = 0


def gaussian(sigma, operator=None):
    prior = snips.analytic.GaussianPrior.power_law((1, 8, 8))
    generator = torch.Generator().manual_seed(0)
    x = prior.draw(1, generator)[0]
    y = x + sigma * torch.randn(x.shape, dtype=torch.float64, generator=generator)
    return snips.Observation(y, sigma, operator or snips.Identity()), prior


@pytest.mark.parametrize("sigma", [0.1, 0.203, 0.606, 1.0])
@pytest.mark.parametrize(("steps", "bound"), [(5, 0.03), (10, 0.02), (20, 0.02)])
def test_reverse_sde_is_close_in_few_calls(sigma, steps, bound):
    w2, nfe = relative_w2(ReverseSDE(steps), *gaussian(sigma))
    assert nfe == steps
    assert w2 <= bound


@pytest.mark.parametrize(("sampler", "operator"), [("reverse-sde", None), ("noise-split", snips.Mask(HALF))])
@pytest.mark.parametrize("sigma", [0.02, 25 / 255])
def test_a_denoiser_of_one_level_is_not_taken_for_a_prior(sampler, operator, sigma):
    """With no level below σ0 nothing can anneal: an error that names the policies, not samples full of noise."""
    observed, prior = gaussian(sigma, operator)
    only = snips.adapters.Bank({sigma: lambda x: snips.denoise(prior, x, sigma)})
    with pytest.raises(NoiseLevelError, match="steps lie outside it .*out_of_range=clamp or scale"):
        snips.sample(observed, only, sampler)
    assert snips.sample(observed, only, sampler, out_of_range="clamp").samples.isfinite().all()


@pytest.mark.parametrize("variant", ["2m-star", "2m", "euler", "heun"])
def test_every_variant_converges(variant):
    few, many = (relative_w2(ReverseSDE(n, variant, sigma_min=0.004), *gaussian(0.2))[0] for n in (9, 81))
    assert many < 0.04
    assert many < max(few, 0.01)


def test_the_constants_of_2m_star_earn_their_place():
    for sigma in (0.1, 0.606):
        assert (
            relative_w2(ReverseSDE(5), *gaussian(sigma))[0] < relative_w2(ReverseSDE(5, "2m"), *gaussian(sigma))[0] / 4
        )


@pytest.mark.parametrize("mask", [HALF, BOX])
@pytest.mark.parametrize("sigma", [0.1, 0.2])
@pytest.mark.parametrize(("steps", "bound"), [(20, 0.025), (30, 0.005)])
@pytest.mark.parametrize("path", ["noised", "pinned"])
def test_noise_split_is_close_in_few_calls(mask, sigma, steps, bound, path):
    w2, nfe = relative_w2(NoiseSplit(steps, path), *gaussian(sigma, snips.Mask(mask)))
    assert nfe == steps
    assert w2 <= bound


def test_noise_split_splits_its_calls():
    assert [NoiseSplit(n).parts for n in (20, 30, 50)] == [(6, 8, 6), (8, 14, 8), (16, 24, 10)]
    assert [NoiseSplit(n, "pinned").parts for n in (30, 200)] == [(10, 12, 8), (166, 24, 10)]
    assert NoiseSplit(anneal=0, correct=3, descend=4).parts == (0, 3, 4)
    observed, prior = gaussian(0.1, snips.Mask(HALF))
    for n in range(5, 60):
        for path in ("noised", "pinned"):
            assert len(NoiseSplit(n, path).plan(observed, prior.noise_levels)) == n
    odd = NoiseSplit(anneal=5, correct=1, descend=2).plan(observed, prior.noise_levels)
    assert [level.sigma for level in odd][:5] == sorted((level.sigma for level in odd[:5]), reverse=True)
    assert len(odd) == 8


@pytest.mark.parametrize("name", ["reverse-sde", "noise-split"])
def test_plans_stay_within_the_denoisers_range(name):
    levels = snips.NoiseLevels(0.02, 0.3)
    for sigma in (0.03, 0.1, 0.3):
        observed = gaussian(sigma, snips.Mask(HALF) if name == "noise-split" else None)[0]
        plan = snips.load_sampler(name).plan(observed, levels)
        assert all(level.sigma in levels for level in plan)


def test_mixture_weights_are_right():
    """A known posterior of two modes: the share of samples in each, within 4 standard errors and the sampler's .035."""
    prior = snips.analytic.GaussianMixturePrior(
        torch.tensor([0.5, 0.5]),
        torch.stack([torch.full((1, 2, 2), 0.3), torch.full((1, 2, 2), 0.7)]),
        0.01 * torch.eye(4),
    )
    y = torch.full((1, 2, 2), 0.53)
    for operator, sigma, sampler in [
        (snips.Identity(), 0.3, ReverseSDE(10)),
        (snips.Mask([[1, 1], [0, 0]]), 0.2, NoiseSplit(30)),
    ]:
        observed = snips.Observation(y, sigma, operator)
        share = float(prior.posterior(observed).weights[1])
        drawn = snips.sample(observed, prior, sampler, samples=4000)
        seen = float((drawn.samples.mean((1, 2, 3)) > 0.5).float().mean())
        assert 0.2 < share < 0.95
        assert abs(seen - share) < 0.035 + 4 * (share * (1 - share) / 4000) ** 0.5


def test_bad_values_are_named():
    for options in ({"steps": 1}, {"variant": "heun", "steps": 4}, {"sigma_min": -1.0}):
        with pytest.raises(InvalidValue, match="reverse-sde"):
            snips.load_sampler("reverse-sde", **options)
    with pytest.raises(OptionError, match="one of"):
        snips.load_sampler("reverse-sde", variant="3m")
    for options in ({"steps": 3}, {"anneal": 3}, {"anneal": 3, "correct": 0, "descend": 3}):
        with pytest.raises(InvalidValue, match="noise-split"):
            snips.load_sampler("noise-split", **options)
    with pytest.raises(UnsupportedOperator, match="only denoises"):
        ReverseSDE().plan(gaussian(0.1, snips.Mask(HALF))[0], snips.NoiseLevels(0, 1))
    with pytest.raises(UnsupportedOperator, match="reverse-sde denoises"):
        NoiseSplit().plan(gaussian(0.1)[0], snips.NoiseLevels(0, 1))
