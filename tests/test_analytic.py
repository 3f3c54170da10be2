"""The truth itself: closed forms against brute force."""

from __future__ import annotations

import math

import pytest
import torch

import snips
from snips.analytic import (
    GaussianMixturePrior,
    GaussianPrior,
    GrayLevels,
    PowerLawField,
    operator_matrix,
    power_law_spectrum,
)
from snips.errors import InvalidValue
from snips.truth import propagate, wasserstein

F64 = torch.float64


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def mixture():
    g = generator()
    roots = torch.randn(3, 4, 4, dtype=F64, generator=g) / 4
    return GaussianMixturePrior(
        torch.tensor([1.0, 2.0, 1.0]), torch.randn(3, 1, 2, 2, dtype=F64, generator=g), roots @ roots.mT
    )


def log_density(prior, x, sigma):
    noisy = prior.covs + sigma**2 * torch.eye(4, dtype=F64)
    parts = torch.distributions.MultivariateNormal(prior.means, noisy)
    return torch.logsumexp(prior.weights.log() + parts.log_prob(x.reshape(-1, 1, 4)), 1)


@pytest.mark.parametrize("sigma", [0.05, 0.3, 2.0])
def test_the_mixtures_denoiser_is_tweedies_formula(sigma):
    prior = mixture()
    x = torch.randn(5, 1, 2, 2, dtype=F64, generator=generator(1), requires_grad=True)
    (gradient,) = torch.autograd.grad(log_density(prior, x, sigma).sum(), x)
    assert torch.allclose(snips.score(prior, x.detach(), sigma), gradient, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("operator", [snips.Identity(), snips.Mask([[1, 0], [0, 1]])])
def test_the_posterior_is_that_of_weighted_prior_draws(operator):
    """Self-normalised importance sampling from the prior arrives at the same mean and covariance."""
    prior, sigma = mixture(), 0.5
    y = operator.forward(torch.tensor([[[[0.3, -0.2], [0.5, 0.1]]]], dtype=F64))
    exact = prior.posterior(snips.Observation(y[0], sigma, operator))
    draws = prior.draw(400_000, generator(2))
    weights = (-0.5 * ((operator.forward(draws) - y) / sigma).square().sum((1, 2, 3))).softmax(0)
    flat = draws.flatten(1)
    mean = weights @ flat
    cov = (flat - mean).T @ (weights[:, None] * (flat - mean))
    assert torch.allclose(exact.mean.flatten(), mean, atol=0.01)
    assert torch.allclose(exact.cov, cov, rtol=0.02, atol=0.01)
    assert torch.allclose(exact.std.flatten(), cov.diagonal().sqrt(), atol=0.01)


def test_draws_have_the_posteriors_moments():
    exact = mixture().posterior(snips.Observation(torch.zeros(1, 2, 2, dtype=F64), 0.4))
    draws = exact.draw(200_000, generator(3)).flatten(1)
    assert torch.allclose(draws.mean(0), exact.mean.flatten(), atol=5e-3)
    assert torch.allclose(torch.cov(draws.T), exact.cov, atol=5e-3)


def test_denoising_is_the_posterior_mean():
    prior = mixture()
    y = torch.randn(1, 2, 2, dtype=F64, generator=generator(4))
    assert torch.allclose(snips.denoise(prior, y, 0.3), prior.posterior(snips.Observation(y, 0.3)).mean)


def test_a_gaussian_is_a_mixture_of_one():
    prior = GaussianPrior.power_law((1, 4, 4))
    exact = prior.posterior(snips.Observation(torch.rand(1, 4, 4), 0.1))
    assert exact.weights.tolist() == [1.0]
    assert torch.linalg.eigvalsh(exact.cov).min() > 0


def test_the_power_law_field_has_its_spectrum_and_std():
    prior = GaussianPrior.power_law((1, 8, 8), std=0.2, power=2)
    assert torch.allclose(prior.covs[0].diagonal(), torch.full((64,), 0.04, dtype=F64))
    spectrum = power_law_spectrum(8, 8, 2, 0.2)
    assert spectrum[0, 1] / spectrum[0, 3] == pytest.approx(9)
    assert torch.allclose(prior.values[0], spectrum.flatten().sort().values)


def test_the_field_denoised_by_fourier_is_the_dense_one():
    x = torch.randn(3, 2, 6, 7, dtype=F64, generator=generator(5))
    sigma = torch.tensor([0.05, 0.2, 1.0], dtype=F64)
    dense = GaussianPrior.power_law((2, 6, 7), 0.4, 0.3, 1.5)
    assert torch.allclose(PowerLawField(0.4, 0.3, 1.5).denoise(x, sigma), dense.denoise(x, sigma))


def test_gray_levels_is_the_mixture_it_says():
    levels = GrayLevels(3, 0.1)
    dense = GaussianMixturePrior(
        torch.ones(3),
        torch.tensor([1 / 6, 0.5, 5 / 6], dtype=F64)[:, None, None, None].expand(3, 1, 2, 2),
        0.01 * torch.eye(4, dtype=F64),
    )
    x = torch.rand(4, 1, 2, 2, dtype=F64, generator=generator(6))
    sigma = torch.full((4,), 0.2, dtype=F64)
    assert torch.allclose(levels.denoise(x, sigma), dense.denoise(x, sigma))


def test_operator_matrix_is_the_operator():
    mask = snips.Mask([[1, 0, 1], [0, 1, 1]])
    x = torch.rand(1, 1, 2, 3, dtype=F64)
    matrix = operator_matrix(mask, (1, 2, 3))
    assert torch.equal(matrix @ x.flatten(), mask.forward(x).flatten())


def test_bad_priors_are_named():
    with pytest.raises(InvalidValue, match="symmetric"):
        GaussianPrior(torch.zeros(1, 1, 2), torch.tensor([[1.0, 0.5], [0.0, 1.0]]))
    with pytest.raises(InvalidValue, match="semi-definite"):
        GaussianPrior(torch.zeros(1, 1, 2), torch.tensor([[1.0, 2.0], [2.0, 1.0]]))
    with pytest.raises(InvalidValue, match="covs"):
        GaussianPrior(torch.zeros(1, 1, 2), torch.eye(3))
    with pytest.raises(InvalidValue, match="pictures"):
        snips.denoise(mixture(), torch.zeros(1, 3, 3), 0.1)


def test_wasserstein_of_gaussians():
    eye = torch.eye(2, dtype=F64)
    assert wasserstein(torch.zeros(2, dtype=F64), eye, torch.tensor([3.0, 4.0], dtype=F64), eye) == pytest.approx(5)
    zero = torch.zeros(2, dtype=F64)
    assert wasserstein(zero, 4 * eye, zero, eye) == pytest.approx(math.sqrt(2))


def test_propagation_agrees_with_many_chains():
    prior = GaussianPrior.power_law((1, 3, 3))
    observed = snips.Observation(torch.rand(1, 3, 3, dtype=F64), 0.2, snips.Mask([[1, 1, 0], [0, 1, 1], [1, 0, 1]]))
    sampler = snips.load_sampler("langevin", steps_per_level=1, sigma_max=1.0)
    mean, cov, nfe = propagate(sampler, observed, prior)
    drawn = snips.sample(observed, prior, sampler, samples=10_000)
    assert drawn.nfe == nfe
    flat = drawn.samples.double().flatten(1)
    error = (flat.mean(0) - mean) / (cov.diagonal() / len(flat)).sqrt()
    assert error.abs().max() < 4.5
    assert torch.allclose(torch.cov(flat.T), cov, atol=0.06 * float(cov.diagonal().max()))
