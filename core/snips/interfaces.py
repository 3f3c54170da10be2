"""The whole contract on one page: denoiser, sampler, operator. Importing it does not import torch.

Units everywhere: pictures are float tensors (B, C, H, W) with clean values in [0, 1]; σ is the standard deviation of
white Gaussian noise in the same units. Noisy values leave [0, 1] and are never clipped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from snips.errors import InvalidValue

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from snips.noise import Noise
    from snips.observation import Observation


@dataclass(frozen=True)
class NoiseLevels:
    """The σ a denoiser is trained or made for.

    Raises InvalidValue unless 0 ≤ low ≤ high.
    """

    low: float
    high: float
    only: tuple[float, ...] = ()
    """The single levels of a denoiser that has no others (a network trained at σ = 25/255, say)."""
    blind: bool = False
    """The denoiser does not look at σ: it finds the noise level itself."""

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high:
            raise InvalidValue(f"noise levels need 0 ≤ low ≤ high, not low={self.low}, high={self.high}")

    def __contains__(self, sigma: float) -> bool:
        if self.only:
            return any(math.isclose(sigma, level, rel_tol=1e-4) for level in self.only)
        return self.low * (1 - 1e-6) <= sigma <= self.high * (1 + 1e-6)

    def __str__(self) -> str:
        if self.only:
            return "{" + ", ".join(f"{level:.4g}" for level in self.only) + "}"
        return f"[{self.low:.4g}, {self.high:.4g}]"


@runtime_checkable
class MMSEDenoiser(Protocol):
    """D(x, σ) = E[x₀ | x₀ + σn = x]: the prior, in the only form the samplers need."""

    @property
    def noise_levels(self) -> NoiseLevels:
        """Where the denoiser may be called; a plain attribute will do."""
        ...

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The posterior mean of each row.

        Args:
            x: (B, C, H, W) float, clean range [0, 1], never clipped; not to be modified.
            sigma: (B,), one σ a row, on x's device and of its dtype.

        Returns:
            A tensor of x's shape, dtype and device. A row's answer depends on that row and its σ alone, and on no
            global random numbers.
        """
        ...


@dataclass(frozen=True)
class Level:
    """One step of a plan. Samplers subclass it for whatever else they know beforehand."""

    sigma: float
    """Where the denoiser is called."""
    nfe: int = 1
    """Denoiser calls that the step makes for each row."""


class State(Protocol):
    """A NamedTuple of tensors with one entry a row, `x` (B, C, H, W) first: everything that a later step needs."""

    @property
    def x(self) -> Tensor: ...

    @property
    def _fields(self) -> tuple[str, ...]: ...

    def __iter__(self) -> Any: ...


@runtime_checkable
class PosteriorSampler(Protocol):
    """Draws from p(x | y), step by step. The engine owns the loop: progress, stopping, saving, resuming.

    Two things more, for samplers that need them. `couples_rows = True`: the samples of a picture depend on each other;
    the engine then hands over all of one picture at once, and of no other, whatever `batch` says (that many rows go to
    the denoiser at once), and a sample follows from the seed and the number of samples. `diagnosed = ("field", …)` and
    `diagnose(**fields) -> dict[str, float]`: at the end the engine passes these fields of the last state, (samples, …)
    of one picture, and keeps the answer in Posterior.diagnostics; what is amiss is a SnipsWarning.
    """

    def plan(self, observation: Observation, levels: NoiseLevels) -> Sequence[Level]:
        """Every step, known before the first denoiser call, from the operator and σ0 alone (not from y)."""
        ...

    def init(self, observation: Observation, plan: Sequence[Any], noise: Noise) -> Any:
        """The first state. `observation.y` has one entry a row."""
        ...

    def step(self, state: Any, level: Any, denoiser: MMSEDenoiser, observation: Observation, noise: Noise) -> Any:
        """The state after one level. No waiting for the device: no `.item()`, no printing of tensors."""
        ...


@runtime_checkable
class Operator(Protocol):
    """The linear map H of y = H x + σ0 n, on batches (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """H x."""
        ...

    def adjoint(self, y: Tensor) -> Tensor:
        """Hᵀ y, of the picture's shape."""
        ...

    def to(self, device: torch.device) -> Self:
        """The same operator with its tensors on `device`."""
        ...


@runtime_checkable
class SpectralOperator(Operator, Protocol):
    """A linear map with its singular value decomposition H = U S Vᵀ, in terms of its own: no dense matrix.

    Coordinates are float tensors (B, C, H, W) of the picture's own shape: the columns of V are an orthonormal basis of
    all pictures, those that H does not see among them (s = 0). What y holds outside the range of H is dropped.
    """

    @property
    def singular_values(self) -> Tensor:
        """s ≥ 0, one a coordinate, broadcastable to the picture's shape (C, H, W); 0 where H sees nothing."""
        ...

    def vt(self, x: Tensor) -> Tensor:
        """Vᵀ x: the coordinates of pictures."""
        ...

    def v(self, c: Tensor) -> Tensor:
        """V c: the pictures of coordinates, the inverse of `vt`."""
        ...

    def ut(self, y: Tensor) -> Tensor:
        """Uᵀ y: the coordinates of observations, 0 where s = 0."""
        ...

    def u(self, c: Tensor) -> Tensor:
        """U c, of y's shape; coordinates with s = 0 do not count."""
        ...
