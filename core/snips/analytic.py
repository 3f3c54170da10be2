"""Priors whose denoiser and posterior are known in closed form: the truth that samplers are measured against.

For x ~ N(μ, Σ), D(x, σ) = μ + Σ(Σ + σ²I)⁻¹(x − μ), and x | y = Hx + σ0 n is Gaussian for any linear H. A mixture of
Gaussians has a mixture for its posterior, with the components' evidences as weights. All computed in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import torch
from torch import Tensor

from snips.errors import InvalidValue
from snips.interfaces import NoiseLevels, Operator, SpectralOperator
from snips.observation import Observation

ANY_LEVEL = NoiseLevels(0.0, math.inf)

AT_ONCE = 2**20
"""Values of (rows, components, d) that a mixture works on at once: small enough to stay near the processor."""

Shape = Sequence[int]


def operator_matrix(operator: Operator, shape: Shape) -> Tensor:
    """H as a dense matrix (number of values of y, d): for small pictures (C, H, W) only."""
    d = math.prod(shape)
    columns = operator.forward(torch.eye(d, dtype=torch.float64).reshape(d, *shape))
    return columns.flatten(1).T


def seen(observation: Observation) -> Tensor:
    """y (B, …) in float64 without what tells nothing of x: what lies outside the range of H, missing pixels for one."""
    operator, y = observation.operator, observation.batch.double()
    return operator.u(operator.ut(y)) if isinstance(operator, SpectralOperator) else y


def power_law_spectrum(height: int, width: int, power: float, std: float) -> Tensor:
    """Eigenvalues (H, W) of the covariance of a periodic field of spectrum ∝ |k|^−power, |k| in cycles a picture.

    The mean frequency shares the lowest one's value; `std` is that of every pixel.
    """
    ky = torch.fft.fftfreq(height, 1 / height, dtype=torch.float64)
    kx = torch.fft.fftfreq(width, 1 / width, dtype=torch.float64)
    radius = torch.hypot(ky[:, None], kx[None, :]).clamp_min(1)
    spectrum = radius**-power
    return std**2 * spectrum / spectrum.mean()


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """A known posterior: weights (K,), means (K, d) and covariances of pictures (C, H, W).

    The covariances are (K, d, d), or (1, d, d) if all components share one.
    """

    weights: Tensor
    means: Tensor
    covs: Tensor
    shape: tuple[int, ...]

    @property
    def mean(self) -> Tensor:
        """(C, H, W)."""
        return torch.einsum("k,ki->i", self.weights, self.means).reshape(self.shape)

    @property
    def cov(self) -> Tensor:
        """(d, d): within the components, and between them."""
        apart = self.means - self.weights @ self.means
        within = self.covs[0] if len(self.covs) == 1 else torch.einsum("k,kij->ij", self.weights, self.covs)
        return within + torch.einsum("k,ki,kj->ij", self.weights, apart, apart)

    @property
    def std(self) -> Tensor:
        """(C, H, W)."""
        variance: Tensor = self.cov.diagonal().clamp_min(0)
        return variance.sqrt().reshape(self.shape)

    def draw(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Exact draws (count, C, H, W)."""
        k = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        z = torch.randn(count, self.means.shape[1], dtype=torch.float64, generator=generator)
        if len(self.covs) == 1:
            return (self.means[k] + z @ matrix_root(self.covs[0])).reshape(count, *self.shape)
        for component, cov in enumerate(self.covs):
            z[k == component] @= matrix_root(cov)
        return (self.means[k] + z).reshape(count, *self.shape)


def matrix_root(cov: Tensor) -> Tensor:
    """The symmetric square root of a positive semi-definite matrix."""
    values, vectors = torch.linalg.eigh(cov)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root


class GaussianMixturePrior:
    """x ~ Σ_k w_k N(μ_k, Σ_k), as a denoiser and with its exact posterior.

    Args:
        weights: (K,), positive; normalised here.
        means: (K, C, H, W).
        covs: (d, d) for all components (much the faster) or (K, d, d), symmetric positive semi-definite, d = C·H·W.

    Raises InvalidValue for shapes that do not fit and covariances that are none.
    """

    noise_levels = ANY_LEVEL

    def __init__(self, weights: Tensor, means: Tensor, covs: Tensor) -> None:
        if means.ndim != 4:
            raise InvalidValue(f"means are (K, C, H, W), not {tuple(means.shape)}")
        count, self.shape = len(means), tuple(means.shape[1:])
        self.channels = self.shape[0]
        self.means = means.double().reshape(count, -1)
        d = self.means.shape[1]
        if covs.shape not in ((d, d), (count, d, d)) or weights.shape != (count,):
            raise InvalidValue(f"{count} means of {d} values need weights ({count},) and covs ({d}, {d}), one or each")
        self.covs = covs.double().reshape(-1, d, d)
        self.weights = weights.double() / weights.double().sum()
        if not bool((self.weights > 0).all()):
            raise InvalidValue("weights of a mixture must be positive")
        if not torch.allclose(self.covs, self.covs.mT):
            raise InvalidValue("a covariance must be symmetric")
        values, self.vectors = torch.linalg.eigh(self.covs)
        if bool((values < -1e-8 * values.abs().max()).any()):
            raise InvalidValue("a covariance must be positive semi-definite")
        self.values = values.clamp_min(0)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Σ_k r_k(x) [μ_k + Σ_k(Σ_k + σ²I)⁻¹(x − μ_k)], r_k the responsibilities at level σ."""
        if x.shape[1:] != self.shape:
            raise InvalidValue(f"this prior is of pictures {tuple(self.shape)}, not {tuple(x.shape[1:])}")
        self._to(x.device)
        rows = max(AT_ONCE // self.means.numel(), 1)
        parts = zip(x.double().flatten(1).split(rows), sigma.double().split(rows), strict=True)
        return torch.cat([self._mean(flat, σ) for flat, σ in parts]).reshape(x.shape).to(x)

    def _mean(self, x: Tensor, σ: Tensor) -> Tensor:
        """(B, d) of x (B, d)."""
        z, noisy, r = self._seen(x, σ)
        V = self.vectors
        parts = r[..., None] * (torch.einsum("kji,kj->ki", V, self.means) + self.values / noisy * z)  # (B, K, d), in V
        if len(V) == 1:
            together: Tensor = parts.sum(1) @ V[0].T
            return together
        return torch.einsum("kij,bkj->bi", V, parts)

    def responsibilities(self, x: Tensor, sigma: Tensor) -> Tensor:
        """r (B, K): the probability of each component given x at level σ (B,); σ = 0 for clean pictures."""
        return self._seen(x.double().flatten(1), sigma.double())[2]

    def _seen(self, x: Tensor, σ: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of x (B, d): x − μ_k and its variances along the eigenvectors of Σ_k, (B, K, d) and (B, K or 1, d), and r."""
        noisy = self.values + σ.square()[:, None, None]
        if len(self.vectors) == 1:
            z = (x @ self.vectors[0])[:, None] - self.means @ self.vectors[0]
        else:
            z = torch.einsum("kji,bkj->bki", self.vectors, x[:, None] - self.means)
        log_r = self.weights.log() - 0.5 * (z.square() / noisy + noisy.log()).sum(-1)
        return z, noisy, log_r.softmax(-1)

    def _to(self, device: torch.device) -> None:
        if self.means.device != device:
            for name in ("means", "covs", "weights", "values", "vectors"):
                setattr(self, name, getattr(self, name).to(device))

    def posterior(self, observation: Observation) -> GaussianMixture:
        """p(x | y), exactly, for one observed picture and any linear operator."""
        if len(observation.batch) != 1:
            raise InvalidValue(f"the posterior is that of one picture, not of {len(observation.batch)}")
        h = operator_matrix(observation.operator, self.shape)
        y = seen(observation).flatten()
        σ0 = observation.sigma
        covs, gains, roots = [], [], []
        for cov in self.covs:
            root = torch.linalg.cholesky(h @ cov @ h.T + σ0**2 * torch.eye(len(h), dtype=torch.float64))
            gain = torch.cholesky_solve(h @ cov, root).T
            c = cov - gain @ h @ cov
            covs.append((c + c.T) / 2)
            gains.append(gain)
            roots.append(root)
        surprise = y - self.means @ h.T
        gain, root = torch.stack(gains), torch.stack(roots)
        means = self.means + torch.einsum("kij,kj->ki", gain.expand(len(surprise), -1, -1), surprise)
        whitened = torch.linalg.solve_triangular(root, surprise[..., None], upper=False)[..., 0]
        logs = self.weights.log() - 0.5 * whitened.square().sum(-1) - root.diagonal(dim1=1, dim2=2).log().sum(-1)
        return GaussianMixture(logs.softmax(0), means, torch.stack(covs), self.shape)

    def draw(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws (count, C, H, W) from the prior."""
        return GaussianMixture(self.weights, self.means, self.covs, self.shape).draw(count, generator)


class GaussianPrior(GaussianMixturePrior):
    """x ~ N(mean, cov): `mean` (C, H, W), `cov` (d, d) with d = C·H·W. Raises as GaussianMixturePrior."""

    def __init__(self, mean: Tensor, cov: Tensor) -> None:
        if mean.ndim != 3:
            raise InvalidValue(f"a mean is (C, H, W), not {tuple(mean.shape)}")
        super().__init__(torch.ones(1), mean[None], cov)

    @classmethod
    def power_law(cls, shape: Shape, mean: float = 0.5, std: float = 0.2, power: float = 2.0) -> GaussianPrior:
        """The Gaussian field of spectrum |k|^−power as a dense prior, channels independent."""
        channels, height, width = shape
        spectrum = power_law_spectrum(height, width, power, std)
        kernel = torch.fft.ifft2(spectrum).real
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        dy = (rows.flatten()[:, None] - rows.flatten()) % height
        dx = (columns.flatten()[:, None] - columns.flatten()) % width
        cov = torch.kron(torch.eye(channels, dtype=torch.float64), kernel[dy, dx])
        return cls(torch.full(tuple(shape), mean, dtype=torch.float64), (cov + cov.T) / 2)


@dataclass(frozen=True)
class PowerLawField:
    """The same Gaussian field for pictures of any size, denoised in the Fourier domain (a Wiener filter)."""

    mean: float = 0.5
    std: float = 0.2
    power: float = 2.0

    noise_levels = ANY_LEVEL

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        spectrum = _spectrum(x.shape[-2], x.shape[-1], self.power, self.std).to(x.device)
        gain = spectrum / (spectrum + sigma.double().square()[:, None, None, None])
        # One row at a time: a batched transform need not round as a single one does.
        rows = [
            torch.fft.ifft2(g * torch.fft.fft2(row)).real for g, row in zip(gain, x.double() - self.mean, strict=True)
        ]
        return (self.mean + torch.stack(rows)).to(x)


_spectrum = cache(power_law_spectrum)


@dataclass(frozen=True)
class GrayLevels:
    """A mixture of flat gray pictures with white variation, for any size: equal weights, levels spread over [0, 1]."""

    components: int = 3
    std: float = 0.1

    noise_levels = ANY_LEVEL

    def __post_init__(self) -> None:
        if self.components < 1 or not self.std > 0:
            raise InvalidValue(f"gray levels need components ≥ 1 and std > 0, not {self.components} and {self.std}")

    @cached_property
    def _levels(self) -> Tensor:
        return (torch.arange(self.components, dtype=torch.float64) + 0.5) / self.components

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        variance = self.std**2 + sigma.double().square()
        apart = x.double()[:, None] - self._levels.to(x.device)[:, None, None, None]  # (B, K, C, H, W)
        log_r = -0.5 * apart.square().sum((2, 3, 4)) / variance[:, None]
        level = log_r.softmax(1) @ self._levels.to(x.device)
        shrink = (self.std**2 / variance)[:, None, None, None]
        return (level[:, None, None, None] * (1 - shrink) + shrink * x.double()).to(x)
