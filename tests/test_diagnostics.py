"""R̂ and effective sample sizes on chains whose autocorrelation is known."""

from __future__ import annotations

import math

import pytest
import torch

from snips.diagnostics import effective_samples, split_r_hat


def autoregressive(phi, chains=8, steps=2000, seed=0):
    """x_t = φ x_{t−1} + √(1 − φ²) z from its own law N(0, 1); n steps are worth n (1 − φ)/(1 + φ)."""
    z = torch.randn(steps, chains, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    x = [z[0]]
    for z_t in z[1:]:
        x.append(phi * x[-1] + math.sqrt(1 - phi**2) * z_t)
    return torch.stack(x, 1)


@pytest.mark.parametrize("phi", [-0.3, 0.0, 0.5, 0.9])
def test_chains_that_have_mixed(phi):
    chains = autoregressive(phi)
    assert split_r_hat(chains) == pytest.approx(1, abs=0.02)
    assert effective_samples(chains) == pytest.approx(8 * 2000 * (1 - phi) / (1 + phi), rel=0.2)


def test_chains_that_have_not():
    apart = autoregressive(0.0) + torch.arange(8.0)[:, None]
    drifting = autoregressive(0.0) + torch.linspace(0, 4, 2000)
    short = autoregressive(0.99, steps=20)
    for chains in (apart, drifting, short):
        assert split_r_hat(chains) > 1.2
    assert effective_samples(apart) < 12
    assert effective_samples(short) < 24


def test_r_hat_by_hand():
    chains = torch.tensor([[0.0, 2.0, 1.0, 3.0], [4.0, 6.0, 4.0, 8.0]])
    within, means = torch.tensor([2.0, 2.0, 2.0, 8.0]).mean(), torch.tensor([1.0, 5.0, 2.0, 6.0])
    assert split_r_hat(chains) == pytest.approx(math.sqrt(0.5 + float(means.var() / within)))


def test_what_says_nothing_is_nan():
    for chains in (torch.ones(3, 10), torch.randn(3, 3)):
        assert math.isnan(split_r_hat(chains))
        assert math.isnan(effective_samples(chains))
    assert split_r_hat(autoregressive(0.0, chains=1)) == pytest.approx(1, abs=0.01)
