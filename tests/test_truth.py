"""Distances from known posteriors: the yardsticks are right, and the samplers are as close as is claimed."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

import snips
from snips.analytic import GaussianMixturePrior, GaussianPrior, matrix_root
from snips.errors import NotAffine
from snips.truth import (
    calibration_problems,
    known_problems,
    measure,
    propagate,
    sliced_wasserstein,
    wasserstein,
    weight_error,
)
from snips.truth.distances import estimated_wasserstein
from snips.truth.mcgdiff import SCALE, mcgdiff_case
from snips.truth.measuring import FIGURES, figures_of, measure_draws, responsibilities
from snips.truth.problems import UNDECIDED
from snips_plugins.samplers.noise_split import NoiseSplit
from snips_plugins.samplers.reverse_sde import ReverseSDE

F64 = torch.float64
PROBLEMS = {problem.name: problem for problem in known_problems()}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def exact(denoiser, observation, samples, seed):
    return denoiser.posterior(observation).draw(samples, generator(seed)), 0


def test_sliced_wasserstein_of_a_shift():
    x = torch.randn(500, 16, dtype=F64, generator=generator())
    shift = torch.zeros(16, dtype=F64)
    shift[3] = 2.0
    assert sliced_wasserstein(x, x, 2, generator(1)) == 0
    two = sliced_wasserstein(x, x + shift, 2, generator(1))  # 2 |θ_3|, of mean square 4/16
    assert two == pytest.approx(0.5, rel=0.15)
    one = sliced_wasserstein(x, (x + shift).flip(0), 1, generator(1))
    assert one == pytest.approx(0.5 * math.sqrt(2 / math.pi), rel=0.15)


def test_the_distance_of_samples_is_that_of_gaussians_without_the_part_of_chance():
    d, n = 200, 500
    root = torch.randn(d, d, dtype=F64, generator=generator()) / d**0.5
    cov, mean = root @ root.T + 0.1 * torch.eye(d, dtype=F64), torch.zeros(d, dtype=F64)
    total = float(cov.trace()) ** 0.5
    x = torch.randn(n, d, dtype=F64, generator=generator(1)) @ matrix_root(cov)
    assert estimated_wasserstein(x, mean, cov) < 0.02 * total
    exact = wasserstein(mean + 0.05, 0.8**2 * cov, mean, cov)
    assert estimated_wasserstein(0.8 * x + 0.05, mean, cov) == pytest.approx(exact, rel=0.03)


def test_weight_error():
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=F64)
    assert weight_error(torch.eye(3, dtype=F64)[[0, 0, 0]], weights) == pytest.approx(0.5)
    assert weight_error(weights.expand(7, 3), weights) == pytest.approx(0)


def test_clean_pictures_belong_to_their_component():
    case = PROBLEMS["mixture-64d-hard"].case(0)
    r = responsibilities(case, case.prior.means)
    assert torch.allclose(r, torch.eye(6, dtype=F64), atol=1e-3)


def test_a_shared_covariance_is_that_of_every_component():
    g = generator()
    root = torch.randn(4, 4, dtype=F64, generator=g) / 4
    weights, means = torch.tensor([1.0, 2.0, 3.0]), torch.rand(3, 1, 2, 2, dtype=F64, generator=g)
    shared = GaussianMixturePrior(weights, means, root @ root.T)
    each = GaussianMixturePrior(weights, means, (root @ root.T).expand(3, 4, 4))
    x, sigma = torch.randn(5, 1, 2, 2, dtype=F64, generator=g), torch.linspace(0.05, 2, 5, dtype=F64)
    assert torch.allclose(shared.denoise(x, sigma), each.denoise(x, sigma))
    assert torch.allclose(shared.responsibilities(x, sigma), each.responsibilities(x, sigma))
    observed = snips.Observation(x[0], 0.3, snips.Mask([[1, 0], [1, 1]]))
    ours, theirs = shared.posterior(observed), each.posterior(observed)
    assert torch.allclose(ours.weights, theirs.weights)
    assert torch.allclose(ours.cov, theirs.cov)
    assert len(ours.covs) == 1
    assert torch.allclose(ours.draw(9, generator(3)), theirs.draw(9, generator(3)))


def test_many_rows_are_denoised_in_parts(monkeypatch):
    prior = PROBLEMS["mixture-64d-denoise"].case(0).prior
    x, sigma = torch.rand(7, 1, 8, 8, dtype=F64, generator=generator()), torch.linspace(0.1, 1, 7, dtype=F64)
    whole = prior.denoise(x, sigma)
    monkeypatch.setattr("snips.analytic.AT_ONCE", 3 * prior.means.numel())
    assert torch.allclose(prior.denoise(x, sigma), whole)


class OneState(NamedTuple):
    x: Tensor


class Bent(ReverseSDE):
    """A reverse SDE with a step that is not affine: in its state, or across rows."""

    how = "state"

    def step(self, state, level, denoiser, observation, noise):
        after = super().step(state, level, denoiser, observation, noise)
        if self.how == "state":
            return after._replace(x=after.x.clamp(0, 1))
        if self.how == "rows":
            return after._replace(x=after.x - 0.1 * after.x.square().mean())
        if self.how == "noise":
            return after._replace(x=after.x + 0.1 * noise.normal().abs())
        return after._replace(x=after.x + noise.uniform())


@pytest.mark.parametrize("how", ["state", "rows", "noise", "uniform"])
def test_what_is_not_affine_is_not_propagated(how, monkeypatch):
    monkeypatch.setattr(Bent, "how", how)
    prior = GaussianPrior.power_law((1, 3, 3))
    with pytest.raises(NotAffine):
        propagate(Bent(4), snips.Observation(torch.rand(1, 3, 3, dtype=F64), 0.3), prior)


def test_problems_have_names_of_their_own_and_undecided_mixtures():
    names = [problem.name for problem in (*known_problems(), *calibration_problems())]
    assert len(set(names)) == len(names)
    for name in ("mixture-2d-inpaint", "mixture-64d-denoise", "mixture-64d-inpaint", "mixture-64d-hard"):
        cases = [PROBLEMS[name].case(k) for k in range(4)]
        assert all(0.2 < float(case.posterior.weights.max()) <= UNDECIDED for case in cases)
        assert len({float(case.observation.y.sum()) for case in cases}) == 4


def test_exact_draws_are_as_good_as_exact_draws():
    for name in ("field-half-0.1", "mixture-64d-hard"):
        result = measure_draws(PROBLEMS[name], exact, "exact", samples=500, cases=2)
        assert set(result.figures) <= set(FIGURES)
        assert result.mean("std_observed") == pytest.approx(1, abs=0.05)
        assert result.mean("std_missing") == pytest.approx(1, abs=0.05)
        if "tv" in result.figures:
            assert result.mean("tv") < 0.05
            assert result.mean("sw2") == pytest.approx(result.mean("sw2_floor"), abs=0.06)
            assert result.margin("tv") is not None
        else:
            assert result.mean("w2") < 0.1
            assert result.margin("w2") is None


def test_figures_tell_wrong_samples():
    problem = PROBLEMS["mixture-64d-denoise"]
    case = problem.case(0)
    wide = case.posterior.draw(400, generator()).flatten(1)
    wide = wide + (wide - wide.mean(0))
    assert figures_of(problem, case, wide)["std_observed"] == pytest.approx(2, abs=0.1)
    one = case.posterior.means[0] + torch.zeros(400, 64, dtype=F64)
    assert figures_of(problem, case, one)["tv"] > 0.3


def test_a_field_is_measured_without_chance():
    result = measure(PROBLEMS["field-denoise-0.203"], ReverseSDE(10), "reverse-sde", samples=20)
    assert result.exact
    assert result.nfe == 10
    assert result.mean("w2") < 0.02
    assert result.mean("std_observed") == pytest.approx(1, abs=0.01)
    assert result.seconds > 0


@pytest.mark.filterwarnings("ignore:noise-split has not mixed")  # no chain crosses a box in 8 steps; the figure tells
@pytest.mark.parametrize(("name", "bound"), [("field-half-0.1", 0.015), ("field-box-0.1", 0.025)])
def test_noise_split_on_fields_in_20_calls(name, bound):
    assert measure(PROBLEMS[name], NoiseSplit(20), "noise-split", samples=20).mean("w2") < bound


@pytest.mark.parametrize(
    ("name", "sampler"), [("mixture-64d-denoise", ReverseSDE(10)), ("mixture-64d-inpaint", NoiseSplit(30))]
)
def test_mixture_weights(name, sampler):
    result = measure(PROBLEMS[name], sampler, "ours", samples=1000, cases=2)
    assert result.mean("tv") < 0.035
    assert result.mean("sw2") < result.mean("sw2_floor") + 0.06


def test_mcgdiff_is_the_papers_problem():
    case = mcgdiff_case(8, 2, 3)
    prior = case.prior
    means = (prior.means - 0.5) * SCALE
    assert means.shape == (25, 8)
    assert torch.equal(means[:, 0].round(), means[:, 6].round())
    assert set(means.round().flatten().tolist()) == {-16.0, -8.0, 0.0, 8.0, 16.0}
    assert torch.allclose(prior.covs[0] * SCALE**2, torch.eye(8, dtype=F64))
    s = torch.linalg.svdvals(snips.analytic.operator_matrix(case.observation.operator, prior.shape))
    assert len(s) == 2
    assert float(s.max()) < 1
    assert case.observation.sigma * SCALE < float(s.max())
    result = measure_draws(PROBLEMS["mcgdiff-8-2"], exact, "exact", samples=500, cases=2)
    assert result.mean("sw1") < 1
    assert result.mean("sw1") == pytest.approx(result.mean("sw1_floor"), abs=0.3)
