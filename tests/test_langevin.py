"""The paper's sampler: its plan, its step against the equations, and its distance from exact posteriors."""

from __future__ import annotations

import math

import pytest
import torch

import snips
from snips.errors import InvalidValue, NoiseLevelError, SnipsWarning, UnsupportedOperator
from snips.langevin import PRESETS, SIGMA_L, Langevin, LangevinLevel, LangevinState, is_stable
from snips.truth import relative_w2

EVERY = snips.NoiseLevels(0, math.inf)
Y = torch.zeros(1, 8, 8)
HALF = snips.Mask(torch.arange(64).reshape(8, 8) % 2)


def plan(sigma, operator=None, levels=EVERY, preset="celeba", **options):
    observed = snips.Observation(Y, sigma, operator or snips.Identity())
    return Langevin(preset, **options).plan(observed, levels)


@pytest.mark.parametrize(
    ("preset", "sigma", "levels"),
    [("celeba", 0.1, 127), ("celeba", 0.203, 166), ("celeba", 0.406, 204), ("celeba", 0.607, 226)]
    + [("celeba", 0.702, 234), ("ffhq", 0.2, 663), ("ffhq", 0.4, 816), ("ffhq", 0.602, 906)]
    + [("lsun", 0.198, 330), ("lsun", 0.403, 408), ("lsun", 0.606, 453)],
)
def test_denoising_uses_the_papers_levels_strictly_below_sigma0(preset, sigma, levels):
    steps = plan(sigma, preset=preset)
    assert len(steps) == pytest.approx((levels - 1) * PRESETS[preset].denoise_steps, abs=PRESETS[preset].denoise_steps)
    assert max(s.sigma for s in steps) < sigma
    assert steps[-1].sigma == SIGMA_L
    assert [s.sigma for s in steps] == sorted((s.sigma for s in steps), reverse=True)


def test_inpainting_comes_down_from_the_presets_largest_level():
    steps = plan(0.1, HALF)
    assert steps[0].sigma == pytest.approx(90)
    assert len(steps) == pytest.approx(2500, abs=10)
    assert all(s.alpha == pytest.approx(3.3e-6 * s.sigma**2 / 1e-4) for s in steps)


def test_the_plan_stays_within_the_denoisers_range():
    steps = plan(0.1, HALF, snips.NoiseLevels(0.02, 0.3))
    assert steps[0].sigma == pytest.approx(0.3)
    assert steps[-1].sigma == pytest.approx(0.02)


def test_unstable_levels_are_dropped_and_it_says_so():
    with pytest.warns(SnipsWarning, match=r"levels dropped.*unstable"):
        steps = plan(0.2, epsilon=1e-5)
    assert steps
    assert all(is_stable(s, 0.2) for s in steps)
    with pytest.raises(InvalidValue, match="no level is stable"), pytest.warns(SnipsWarning):
        plan(0.2, epsilon=1.0)


def test_the_published_presets_are_stable_where_the_paper_denoises():
    for preset, sigma in [("celeba", 0.203), ("lsun", 0.198), ("celeba", 0.15)]:
        plan(sigma, preset=preset)  # a dropped level would warn, and warnings are errors here


def test_final_denoise_is_one_more_call():
    assert len(plan(0.1, final_denoise=True)) == len(plan(0.1)) + 1


class Half:
    """D(x) = x/2, a denoiser whose score is −x/(2σ²)."""

    noise_levels = EVERY

    def denoise(self, x, sigma):
        return x / 2


class Fixed:
    def normal(self):
        return torch.full((1, 1, 8, 8), 0.25)


@pytest.mark.parametrize("sigma", [0.3, 0.05])
def test_a_step_is_the_papers_equation(sigma):
    x, y = torch.rand(1, 1, 8, 8), torch.rand(1, 8, 8)
    observed = snips.Observation(y, 0.1, HALF).rows([0])
    level = LangevinLevel(sigma, alpha=1e-4)
    new = Langevin().step(LangevinState(x), level, Half(), observed, Fixed()).x
    s = -x / 2 / sigma**2
    if sigma > 0.1:
        on_m = (y - x) / (sigma**2 - 0.01)
    else:
        on_m = s + (y - x) / (0.01 - sigma**2)
    delta = torch.where(HALF.mask, on_m, s)
    assert torch.allclose(new, x + 1e-4 * delta + math.sqrt(2e-4) * 0.25, atol=1e-6)


def test_denoising_is_inpainting_with_nothing_missing():
    prior = snips.analytic.GaussianPrior.power_law((1, 8, 8))
    y = torch.rand(1, 8, 8)
    everything = snips.Observation(y, 0.1, snips.Mask(torch.ones(8, 8))).rows([0])
    plain = snips.Observation(y, 0.1).rows([0])
    state, level = LangevinState(y[None] + 0.01), LangevinLevel(0.05, alpha=1e-4)
    one, other = (Langevin().step(state, level, prior, o, Fixed()).x for o in (everything, plain))
    assert torch.equal(one, other)


def gaussian(sigma, operator=None):
    prior = snips.analytic.GaussianPrior.power_law((1, 8, 8))
    x = prior.draw(1, torch.Generator().manual_seed(0))[0]
    y = x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return snips.Observation(y, sigma, operator or snips.Identity()), prior


def test_denoising_comes_near_the_exact_posterior():
    w2, nfe = relative_w2(Langevin("celeba"), *gaussian(0.203))
    assert nfe == 825
    assert w2 < 0.12


def test_the_quick_preset_is_as_near_at_a_sixth_of_the_calls():
    for observed, prior in (gaussian(0.203), gaussian(0.606)):
        paper, slow = relative_w2(Langevin("celeba"), observed, prior)
        quick, fast = relative_w2(Langevin("quick"), observed, prior)
        assert quick < paper + 0.01
        assert fast < slow / 5


def test_one_step_a_level_is_not_enough():
    """The paper's T matters: with T = 1 the sampler is far off, and the measure sees it."""
    w2, _ = relative_w2(Langevin("celeba", steps_per_level=1), *gaussian(0.203))
    assert w2 > 0.3


@pytest.mark.slow
def test_inpainting_comes_near_the_exact_posterior():
    w2, _ = relative_w2(Langevin("celeba", sigma_max=20), *gaussian(0.1, HALF))
    assert w2 < 0.12


def test_a_denoiser_of_small_range_starts_from_a_classical_fill():
    ramp = torch.linspace(0, 1, 32).expand(1, 32, 32)
    mask = torch.ones(32, 32)
    mask[12:20, 12:20] = 0
    observed = snips.Observation(ramp, 0.01, snips.Mask(mask)).rows([0])
    noise = snips.Noise(0, [(0, 0)], (1, 32, 32))
    start = Langevin().init(observed, [LangevinLevel(0.05)], noise.at(0)).x
    assert (start - ramp).std() == pytest.approx(0.05, rel=0.1)
    far = Langevin().init(observed, [LangevinLevel(90.0)], noise.at(0)).x
    assert far.std() == pytest.approx(90, rel=0.1)


def test_bad_options_are_named():
    with pytest.raises(InvalidValue, match="preset"):
        Langevin(preset="imagenet")
    with pytest.raises(InvalidValue, match="epsilon"):
        Langevin(epsilon=-1.0)
    with pytest.raises(InvalidValue, match="ratio"):
        Langevin(ratio=1.5)
    with pytest.raises(InvalidValue, match="nothing to sample"):
        plan(0.005)
    with pytest.raises(UnsupportedOperator, match="Blur"):
        plan(0.1, Blur())
    with pytest.raises(NoiseLevelError, match="made for"):
        snips.sample(snips.Observation(Y, 0.5), Narrow())


class Narrow(Half):
    noise_levels = snips.NoiseLevels(0.0, 0.3)


class Blur:
    def forward(self, x):
        return x

    def adjoint(self, y):
        return y

    def to(self, device):
        return self
