"""What a denoiser implies as a prior: how many directions it leaves undecided, and if it is any law's MMSE estimate.

For D(x, σ) = E[x₀ | x₀ + σn = x] of any law of pictures, with J = ∂D/∂x:

- σ²J = Cov[x₀ | x] (Robbins 1956; Efron 2011), so J is symmetric, and tr J, the effective dimension, counts the
  directions that the noise leaves undecided; σ² tr J is the squared error that is to be expected.
- D along the reverse process is a martingale: E[D(x_s, s) | x_t] = D(x_t, t) for s < t (Daras et al., "Consistent
  Diffusion Models", 2023).

A learned denoiser keeps to these only as far as it is the posterior mean of some law. Only D is called, without
gradients: everything here works for networks, for NumPy functions and for the priors of `snips.analytic` alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from snips.errors import InvalidValue, NoiseLevelError
from snips.interfaces import MMSEDenoiser

STEP = 0.03
"""Of the finite differences, in units of σ."""


@dataclass(frozen=True)
class Linearised:
    """J = ∂D/∂x at one picture."""

    dimension: float
    """tr J."""
    error: float
    """Its standard error over the probes."""
    asymmetry: float
    """‖J − Jᵀ‖ / 2‖J‖ in the Frobenius norm: 0 if symmetric, 1 at most."""
    pixels: int


def linearise(
    denoiser: MMSEDenoiser, x: Tensor, sigma: float, probes: int = 8, seed: int = 0, batch: int = 16
) -> Linearised:
    """The effective dimension and the asymmetry of J by random probes, from 2 · probes denoiser calls.

    With independent v_i of ±1 and G_ij = v_iᵀ J v_j: E G_ii = tr J (Hutchinson 1989), E (G_ij − G_ji)² = ‖J − Jᵀ‖² for
    i ≠ j, and E ‖J v_i‖² = ‖J‖². J v by central differences.

    Args:
        x: (C, H, W), a noisy picture of level `sigma`.
        probes: at least 2.
        batch: denoiser calls at once.

    Raises InvalidValue, and NoiseLevelError for a σ that the denoiser is not made for.
    """
    if probes < 2:
        raise InvalidValue(f"asymmetry needs at least 2 probes, not {probes}")
    check_level(denoiser, sigma)
    generator = torch.Generator().manual_seed(seed)
    v = torch.randint(0, 2, (probes, *x.shape), generator=generator).to(x.device, torch.float64) * 2 - 1
    h = STEP * sigma
    wide = x.double()
    jv = (_rows(denoiser, wide + h * v, sigma, batch) - _rows(denoiser, wide - h * v, sigma, batch)) / (2 * h)
    flat_v, flat_jv = v.flatten(1), jv.flatten(1)
    g = flat_v @ flat_jv.T
    traces = g.diagonal()
    skew = (g - g.T)[~torch.eye(probes, dtype=torch.bool, device=g.device)]
    norm = flat_jv.square().sum(1).mean()
    asymmetry = skew.square().mean().sqrt() / (2 * norm.sqrt()) if norm > 0 else norm
    return Linearised(float(traces.mean()), float(traces.std() / math.sqrt(probes)), float(asymmetry), x.numel())


@dataclass(frozen=True)
class Drift:
    """How far E[D(x_s, s) | x_t] is from D(x_t, t), a pixel."""

    squared: float
    """The squared distance, unbiased: near 0, and negative as often as not, for a martingale."""
    error: float
    """The standard error of `squared`."""
    spread: float
    """The variance of D(x_s, s) given x_t."""


def martingale(
    denoiser: MMSEDenoiser,
    x: Tensor,
    t: float,
    s: float,
    draws: int = 8,
    steps: int = 8,
    seed: int = 0,
    batch: int = 16,
) -> Drift:
    """Follow the reverse process from x at level t down to s, `draws` times: the mean of D there beside D here.

    The process is that of the denoiser itself (no clean picture comes in), by `steps` steps of Euler's method in σ²,
    evenly spaced in log σ, of `draws` denoiser calls each.

    Args:
        x: (C, H, W), a noisy picture of level t.
        s: below t.

    Raises InvalidValue, and NoiseLevelError for levels that the denoiser is not made for.
    """
    if not 0 < s < t or draws < 2 or steps < 1:
        raise InvalidValue(f"the martingale check needs 0 < s < t, 2 draws and a step, not {s}, {t}, {draws}, {steps}")
    levels = [t * (s / t) ** (k / steps) for k in range(steps + 1)]
    for level in levels:
        check_level(denoiser, level)
    generator = torch.Generator().manual_seed(seed)
    here = _rows(denoiser, x.double()[None], t, 1)[0]
    rows, D = x.double().expand(draws, *x.shape), here.expand(draws, *x.shape)
    for level, below in pairwise(levels):
        z = torch.randn(rows.shape, generator=generator, dtype=torch.float64).to(x.device)
        r = (below / level) ** 2
        rows = rows + (1 - r) * (D - rows) + math.sqrt(level**2 - below**2) * z
        D = _rows(denoiser, rows, below, batch)
    apart = (D - here).flatten(1)
    products = apart @ apart.T / x.numel()
    pairs = products[torch.triu(torch.ones_like(products, dtype=torch.bool), 1)]
    error = float(pairs.std() / math.sqrt(len(pairs))) if len(pairs) > 1 else math.nan
    return Drift(float(pairs.mean()), error, float(apart.var(0).mean()))


@dataclass(frozen=True)
class OnPicture:
    """Squared errors a pixel, of one clean picture seen at levels t and s < t along one path of noise."""

    here: float
    """‖x₀ − D(x_t, t)‖²."""
    later: float
    """‖x₀ − D(x_s, s)‖²."""
    between: float
    """‖D(x_s, s) − D(x_t, t)‖²."""


def along_a_path(denoiser: MMSEDenoiser, clean: Tensor, x: Tensor, t: float, s: float, seed: int = 0) -> OnPicture:
    """Squared errors whose means satisfy here = later + between if pictures come from the law of the prior.

    D(x_s, s) − D(x_t, t) is then uncorrelated with x₀ − D(x_s, s): Pythagoras. On other pictures the sides differ.

    Args:
        clean: x₀, (C, H, W).
        x: x_t = x₀ + t n.
    """
    for level in (t, s):
        check_level(denoiser, level)
    n = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(x.device)
    # x_s given x_t and x₀ is a Brownian bridge.
    r = (s / t) ** 2
    x_s = r * x.double() + (1 - r) * clean.double() + s * math.sqrt(1 - r) * n
    D_t, D_s = _rows(denoiser, x.double()[None], t, 1)[0], _rows(denoiser, x_s[None], s, 1)[0]
    errors = (clean.double() - D_t, clean.double() - D_s, D_s - D_t)
    return OnPicture(*(float(error.square().mean()) for error in errors))


def check_level(denoiser: MMSEDenoiser, sigma: float) -> None:
    """Raises NoiseLevelError if the denoiser is not made for this σ."""
    if sigma not in denoiser.noise_levels:
        raise NoiseLevelError(f"the denoiser is made for σ in {denoiser.noise_levels}, not for {sigma:.4g}")


def _rows(denoiser: MMSEDenoiser, rows: Tensor, sigma: float, batch: int) -> Tensor:
    """D of many rows, in float64 as far as the denoiser itself computes so."""
    with torch.inference_mode():
        return torch.cat([denoiser.denoise(part, part.new_full((len(part),), sigma)) for part in rows.split(batch)])
