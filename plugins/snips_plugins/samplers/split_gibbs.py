"""Split Gibbs: x and z = x + ρ n₁ in turn, each given the other.

With the noise of y split at ρ ≤ σ0/‖H‖ (see noise_split.py), y = H z + n₂ where Cov n₂ = σ0² I − ρ² H Hᵀ, and so

    z | x, y   is Gaussian, in closed form in the coordinates of H: mean (1 − q) x + q u/s, variance ρ² (1 − q)
    x | z      is denoising at level ρ: a short run of the reverse SDE (2M*)

Both leave the joint posterior of x and z as it is, so the chain's x is of p(x | y), but for the steps of the reverse
SDE. (With the likelihood of z at noise σ0 or √(σ0² + ρ²), as in published plug-and-play Gibbs samplers, it is biased.)
The first sweeps anneal: z is drawn at levels from .4 down to ρ, with y brought to them by noise of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from snips.errors import InvalidValue, UnsupportedOperator
from snips.interfaces import MMSEDenoiser, NoiseLevels
from snips.noise import Noise
from snips.observation import Identity, Observation
from snips_plugins.samplers.reverse_sde import SDELevel, SDEState, reverse_step, two_m_star
from snips_plugins.samplers.spectral import START, Split, split_level, starting_picture


@dataclass(frozen=True)
class GibbsLevel(SDELevel):
    """A step of the reverse SDE; with `redraw` = t > 0, z is drawn at level t first."""

    redraw: float = 0.0
    rho: float = 0.0


@dataclass(frozen=True)
class SplitGibbs:
    """`sweeps` of z | x, y and x | z, each of `calls` denoiser calls; of these sweeps `anneal` go down to ρ.

    rho: ρ, by default σ0/‖H‖, as far as the denoiser reaches. Raises InvalidValue for what makes no chain.
    """

    sweeps: int = 40
    calls: int = 5
    anneal: int | None = None
    rho: float | None = None

    def __post_init__(self) -> None:
        if self.calls < 2 or not 0 <= self.annealing < self.sweeps:
            raise InvalidValue(
                f"split-gibbs needs 2 calls a sweep and a sweep after annealing, not {self.calls} calls in "
                f"{self.sweeps} sweeps of which {self.annealing} anneal"
            )

    @property
    def annealing(self) -> int:
        return self.sweeps // 3 if self.anneal is None else self.anneal

    def plan(self, observation: Observation, levels: NoiseLevels) -> list[GibbsLevel]:
        """All sweeps. Raises UnsupportedOperator for Identity and without an SVD, InvalidValue for too large a ρ."""
        if isinstance(observation.operator, Identity):
            raise UnsupportedOperator("split-gibbs has nothing to split when all is observed; reverse-sde denoises")
        ρ, n = split_level(observation, levels, self.rho, "split-gibbs"), self.annealing
        start = max(min(START, levels.high), ρ)
        plan = []
        for t in [*(start * (ρ / start) ** (i / n) for i in range(n)), *[ρ] * (self.sweeps - n)]:
            sweep = [
                GibbsLevel(**{f.name: getattr(level, f.name) for f in fields(level)}, rho=ρ)
                for level in two_m_star(t, self.calls, levels.low)
            ]
            plan += [replace(sweep[0], redraw=t), *sweep[1:]]
        return plan

    def init(self, observation: Observation, plan: Sequence[GibbsLevel], noise: Noise) -> SDEState:
        x = starting_picture(observation)
        return SDEState(x, torch.zeros_like(x))

    def step(
        self, state: Any, level: GibbsLevel, denoiser: MMSEDenoiser, observation: Observation, noise: Noise
    ) -> SDEState:
        x, d = state
        if level.redraw:
            x = Split.of(observation, level.rho).draw(x, level.redraw, 0.0, noise.normal())
        return reverse_step(x, d, level, denoiser, noise)
