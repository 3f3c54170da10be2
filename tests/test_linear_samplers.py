"""Samplers on general linear operators: what their steps do is what their papers say, and where they end up."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

import snips
from operators import OPERATORS
from shared import SHARED, needs_shared
from snips.analytic import GaussianMixturePrior, GaussianPrior
from snips.errors import InvalidValue, SnipsWarning, UnsupportedOperator
from snips.operators.blur import gaussian_kernel, uniform_kernel
from snips.truth import propagate, relative_w2
from snips_plugins.samplers.ddrm import DDRM
from snips_plugins.samplers.diffpir import DiffPIR
from snips_plugins.samplers.noise_split import NoiseSplit
from snips_plugins.samplers.smc import SMC, resampled
from snips_plugins.samplers.snips import Snips, SnipsLevel, SnipsState
from snips_plugins.samplers.spectral import Split
from snips_plugins.samplers.split_gibbs import SplitGibbs

CASES = {
    "deblur, uniform": (snips.Blur(uniform_kernel(5), (6, 6)), (1, 6, 6)),
    "deblur, Gaussian": (snips.Blur(gaussian_kernel(0.6), (6, 6)), (1, 6, 6)),
    "superres, mean": (snips.Downsample((6, 6), 2), (1, 6, 6)),
    "superres, bicubic": (snips.Downsample((6, 6), 2, "bicubic"), (1, 6, 6)),
    "colorize": (snips.Grayscale(), (3, 4, 4)),
    "compressive": (snips.WalshHadamard((4, 4), 0.25), (1, 4, 4)),
    "linear": (OPERATORS["matrix, tall"][0], (1, 3, 4)),
}


FEWER_STEPS = Snips(epsilon=8e-5, ratio=0.7)
"""A quarter of the default's."""


def observed(operator, shape, sigma):
    prior = GaussianPrior.power_law(shape)
    generator = torch.Generator().manual_seed(1)
    y = operator.forward(prior.draw(1, generator))[0]
    return snips.Observation(
        y + sigma * torch.randn(y.shape, dtype=torch.float64, generator=generator), sigma, operator
    ), prior


@pytest.mark.parametrize("name", CASES)
def test_noise_split_is_close_for_every_operator(name):
    distance, nfe = relative_w2(NoiseSplit(30), *observed(*CASES[name], 0.1))
    assert nfe == 30
    assert distance < 0.01


def test_noise_split_is_close_on_the_pinned_path_and_below_the_bound():
    for options in ({"path": "pinned"}, {"rho": 0.07}):
        assert relative_w2(NoiseSplit(30, **options), *observed(*CASES["deblur, uniform"], 0.1))[0] < 0.012


def test_split_gibbs_is_close():
    assert relative_w2(SplitGibbs(30), *observed(*CASES["compressive"], 0.1))[0] < 0.05
    half = snips.Mask(torch.rand(6, 6, generator=torch.Generator().manual_seed(2)) < 0.5)
    assert relative_w2(SplitGibbs(30), *observed(half, (1, 6, 6), 0.1))[0] < 0.05


def test_snips_is_as_far_off_as_the_papers_sampler():
    assert relative_w2(FEWER_STEPS, *observed(*CASES["superres, mean"], 0.1))[0] < 0.25


@pytest.mark.parametrize("sampler", [DDRM(), DiffPIR(30)], ids=["ddrm", "diffpir"])
def test_baselines_are_biased_but_not_absurd(sampler):
    observation, prior = observed(*CASES["superres, bicubic"], 0.1)
    assert 0.15 < relative_w2(sampler, observation, prior)[0] < 1.5
    exact = prior.posterior(observation)
    mean, _, _ = propagate(sampler, observation, prior)
    assert float((mean - exact.mean.flatten()).square().mean().sqrt()) < 0.6 * float(exact.std.square().mean().sqrt())


def test_a_split_is_the_gaussian_that_it_says():
    """z given x and y: density ∝ N(z; x, ρ²) N(u; s z, σ0² − ρ² s²), by hand for one pixel of each kind."""
    s, σ0, ρ, x, y = (
        torch.tensor([[0.0, 0.5, 0.9]]).double(),
        0.2,
        0.15,
        0.3,
        torch.tensor([[[9.0, 0.4, 0.1]]]).double(),
    )
    operator = snips.Matrix(torch.diag(s[0]), (1, 1, 3))
    split = Split.of(snips.Observation(y, σ0, operator).rows([0] * 4), ρ)
    c = torch.zeros(4, 1, 1, 3).double() + operator.vt(torch.full((1, 1, 1, 3), x).double())
    zero, one = (operator.vt(split.draw(operator.v(c), ρ, 0.0, z)) for z in (torch.zeros_like(c), torch.ones_like(c)))
    u, values = operator.ut(y[None])[0], operator.singular_values.expand(1, 1, 3)
    precision = 1 / ρ**2 + values**2 / (σ0**2 - ρ**2 * values**2)
    mean = (c[0] / ρ**2 + values * u / (σ0**2 - ρ**2 * values**2)) / precision
    torch.testing.assert_close(zero[0], mean)
    torch.testing.assert_close((one - zero)[0], precision.rsqrt())
    pull = values * (u - values * c[0]) / (σ0**2 - ρ**2 * values**2)
    torch.testing.assert_close(split.pull(c, ρ)[0], split.free[0] * pull)


class Replayed:
    """The noise of the reference run, drawn as its code draws it."""

    def __init__(self, shape):
        self.shape = shape
        torch.manual_seed(123)

    def normal(self):
        return torch.randn(2, 1, math.prod(self.shape)).reshape(2, *self.shape)


class Prior:
    """N(1/2, .25² I), in float32 as in the reference run."""

    noise_levels = snips.NoiseLevels(0.0, 1e3)

    def denoise(self, x, sigma):
        s2 = sigma.square()[:, None, None, None]
        return x - s2 * (x - 0.5) / (0.0625 + s2)


@needs_shared
@pytest.mark.parametrize("name", ["inp", "sr2", "cs4", "deblur_uniform", "deblur_gauss", "eye_fullrank"])
def test_snips_agrees_with_its_authors_code(name):
    data = np.load(SHARED / "oracle/snips_gaussian_prior.npz")
    info = json.loads((SHARED / "oracle/snips_gaussian_prior.json").read_text())
    h, y, s, u, v, x0, result = (
        torch.from_numpy(data[f"{name}_{k}"]) for k in ("H", "y", "s", "U", "V", "x0", "result")
    )
    operator = snips.Matrix(h, (1, 8, 8))
    rank = info["info"][name]["rank"]
    operator.left, operator.right, operator.rank = u, v, len(s)
    operator.values = torch.cat([s[:rank], torch.zeros(64 - rank)])
    observation = snips.Observation(y.reshape(2, *operator.observed), info["sigma_0"], operator)
    a = info["step_lr"] / data["sigmas"][-1].item() ** 2
    sampler, state = Snips(), SnipsState(x0)
    with torch.random.fork_rng():
        noise = Replayed((1, 8, 8))
        for σ in data["sigmas"].tolist():
            for _ in range(info["n_steps_each"]):
                state = sampler.step(state, SnipsLevel(σ, a=a), Prior(), observation, noise)
    residual = float((y.reshape(2, -1) - state.x.reshape(2, -1) @ h.T).std())
    if name == "eye_fullrank":  # the reference ignores y when H has full rank; this one does not
        assert float((state.x - result).abs().max()) > 0.1
        assert residual < 0.15 < info["info"][name]["residual_std"]
    else:
        torch.testing.assert_close(state.x, result, rtol=1e-4, atol=1e-3)


def mixture():
    """Two modes in 4 pixels, of which the two observed ones leave both open."""
    means = torch.tensor([[0.2, 0.2, 0.2, 0.2], [0.4, 0.4, 0.9, 0.9]]).reshape(2, 1, 2, 2)
    prior = GaussianMixturePrior(torch.tensor([0.7, 0.3]), means, 0.01 * torch.eye(4))
    return prior, snips.Observation(torch.tensor([[[0.33, 0.33], [0.0, 0.0]]]), 0.1, snips.Mask([[1, 1], [0, 0]]))


def test_smc_weighs_the_modes():
    prior, observation = mixture()
    exact = prior.posterior(observation)
    drawn = snips.sample(observation, prior, SMC(60), samples=2000).samples
    share = float((drawn[:, 0, 1].mean(1) > 0.55).float().mean())
    assert abs(share - float(exact.weights[1])) < 0.06
    assert 0.2 < float(exact.weights[1]) < 0.8
    assert drawn.mean(0) == pytest.approx(exact.mean.float(), abs=0.05)


def test_smc_on_blur_and_superres():
    for name in ("deblur, Gaussian", "superres, bicubic"):
        operator, shape = CASES[name]
        observation, prior = observed(operator, shape, 0.2)
        exact = prior.posterior(observation)
        drawn = snips.sample(observation, prior, SMC(60), samples=400)
        assert float(((drawn.mean - exact.mean) / exact.std).square().mean().sqrt()) < 0.25
        assert float((drawn.std / exact.std).mean()) == pytest.approx(1, abs=0.1)


def test_systematic_resampling_keeps_expectations():
    weights = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
    counts = torch.zeros(4)
    for seed in range(2000):
        z = torch.randn(1, generator=torch.Generator().manual_seed(seed))
        left, ess, chosen = resampled(weights.log(), z, always=True)
        assert (left == 0).all()
        assert float(ess) == pytest.approx(1 / 0.365)
        times = torch.bincount(chosen, minlength=4)
        assert ((times - 4 * weights).abs() < 1).all()
        counts += times
    torch.testing.assert_close(counts.double() / 8000, weights, atol=0.01, rtol=0)
    left, _, stays = resampled(torch.tensor([0.1, 0.0, 0.0, 0.0]), torch.zeros(1), always=False)
    assert stays.tolist() == [0, 1, 2, 3]
    assert left[0] == 0.1


def two_pictures():
    prior, observation = mixture()
    y = torch.stack([observation.y, observation.y.flip(2) + 0.1])
    return prior, snips.Observation(y, 0.1, observation.operator), observation


few_particles = pytest.mark.filterwarnings("ignore:smc.*:snips.errors.SnipsWarning")


@few_particles
def test_coupled_rows_stay_together_whatever_the_batch():
    prior, both, first = two_pictures()
    whole = snips.sample(both, prior, SMC(30), samples=6)
    for batch in (1, 4, 100):
        again = snips.sample(both, prior, SMC(30), samples=6, batch=batch)
        assert torch.equal(again.samples, whole.samples)
        assert torch.equal(again.std, whole.std)
    alone = snips.sample(first, prior, SMC(30), samples=6)
    assert torch.equal(alone.samples, whole.samples[:, 0])  # the other picture makes no difference
    assert torch.allclose(whole.mean, whole.samples.mean(0), atol=1e-6)
    kept = snips.sample(both, prior, SMC(30), samples=6, keep=2)
    assert torch.equal(kept.samples, whole.samples[:2])
    assert torch.equal(kept.mean, whole.mean)
    more = snips.sample(both, prior, SMC(30), samples=7)
    assert not torch.equal(more.samples[:6], whole.samples)
    steps = list(snips.iterate(both, prior, SMC(30), samples=6, batch=2))
    assert [len({image for image, _ in step.rows}) for step in steps] == [1] * 60
    assert [step.index for step in steps] == list(range(60))


class Stopped(Exception):
    pass


@few_particles
@pytest.mark.parametrize("stop", [1, 31, 59])
def test_coupled_rows_resume(tmp_path, stop):
    prior, both, _ = two_pictures()
    whole = snips.sample(both, prior, SMC(30), samples=6, snapshots=2)

    def tell(step):
        if step.index + 1 == stop:
            raise Stopped

    file = tmp_path / "run.ckpt"
    with pytest.raises(Stopped):
        snips.sample(both, prior, SMC(30), samples=6, snapshots=2, checkpoint=file, progress=tell)
    again = snips.sample(both, prior, SMC(30), samples=6, snapshots=2, batch=2, checkpoint=file, resume=True)
    assert torch.equal(again.samples, whole.samples)
    assert again.diagnostics == whole.diagnostics
    assert all(torch.equal(a.x, b.x) for a, b in zip(again.snapshots, whole.snapshots, strict=True))


def test_smc_says_when_few_particles_count():
    with pytest.warns(SnipsWarning, match="take more, or noise-split"):
        SMC().diagnose(torch.full((20,), 1.3))
    assert SMC().diagnose(torch.full((20,), 7.0)) == {"smallest_ess": 7.0, "particles": 20.0}


def test_noise_split_says_whether_it_has_mixed():
    generator = torch.Generator().manual_seed(0)
    mask = torch.ones(16, 16)
    mask[3:13, 3:13] = 0
    y = GaussianPrior.power_law((1, 16, 16)).draw(1, generator)[0]
    denoiser = snips.load_denoiser("gaussian-field")
    quiet = snips.Observation(y + 0.02 * torch.randn(y.shape, generator=generator), 0.02, snips.Mask(mask))
    with pytest.warns(SnipsWarning, match="has not mixed"):
        (stuck,) = snips.sample(quiet, denoiser, NoiseSplit(30), samples=8).diagnostics
    loud = snips.Observation(y + 0.5 * torch.randn(y.shape, generator=generator), 0.5, snips.Mask(mask))
    (mixed,) = snips.sample(loud, denoiser, NoiseSplit(60), samples=8).diagnostics
    assert 0.9 < mixed["r_hat"] < 1.2 < 1.5 < stuck["r_hat"]
    assert stuck["ess"] < 40 < 100 < mixed["ess"]
    assert mixed["chains"] == 8
    assert mixed["steps"] == NoiseSplit(60).parts[1]


def test_cards_say_what_samplers_do():
    observation, _ = observed(*CASES["deblur, uniform"], 0.1)
    denoising = snips.Observation(observation.y, 0.1)
    for card in snips.samplers():
        sampler = snips.load_sampler(card.name)
        assert card.couples_rows == getattr(sampler, "couples_rows", False)
        for task, one in (("deblur", observation), ("denoise", denoising)):
            if task in card.tasks:
                assert sampler.plan(one, snips.NoiseLevels(0.01, 100.0))
            elif card.tasks:
                with pytest.raises(UnsupportedOperator):
                    sampler.plan(one, snips.NoiseLevels(0.01, 100.0))


@snips.testing.parametrize_with_checks(["split-gibbs", "smc", FEWER_STEPS, "ddrm", "diffpir"])
def test_conformance(check):
    check()


def test_what_cannot_be_is_named():
    for name, options in (
        ("noise-split", {"rho": -1.0}),
        ("split-gibbs", {"calls": 1}),
        ("split-gibbs", {"anneal": 40}),
        ("smc", {"steps": 20}),
        ("snips", {"epsilon": 2e-4}),
        ("snips", {"ratio": 1.5}),
        ("ddrm", {"eta": 2.0}),
        ("diffpir", {"lam": 0.0}),
    ):
        with pytest.raises(InvalidValue, match=name):
            snips.load_sampler(name, **options).plan(observed(*CASES["linear"], 0.1)[0], snips.NoiseLevels(0, 10))
    nothing = snips.Observation(torch.zeros(1, 2, 2), 0.1, snips.Matrix(torch.zeros(4, 4), (1, 2, 2)))
    with pytest.raises(InvalidValue, match="maps every picture to 0"):
        snips.sample(nothing, "gaussian-field", "noise-split")
