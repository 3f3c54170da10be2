"""Split the noise: sample z = x + ρ n₁ given y by Langevin dynamics at one level, then denoise z by the reverse SDE.

For y = H x + σ0 n and any ρ ≤ σ0/‖H‖ there is a z with y = H z + n₂, Cov n₂ = σ0² I − ρ² H Hᵀ, and given z, x does not
depend on y. For inpainting at ρ = σ0 this pins z = y on the observed pixels M, and the missing ones R move in the exact
score s(z, σ0) alone: no likelihood term, no gradient through the denoiser. In three parts:

anneal: from a classical fill plus noise down to σ0. The noised path brings the observed pixels to each level,
    z_M = y + √(t² − σ0²) n, so that the denoiser sees noise of one level everywhere, and draws z_R twice a level. The
    pinned path keeps z_M = y at every level, which is the posterior under observation noise t.
correct: underdamped Langevin dynamics at σ0, by the BAOAB splitting of Leimkuhler and Matthews (2013) with its kicks
    fused to one denoiser call a step. With the number of these steps the sampler becomes exact.
descend: 2M* from z to x.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from snips.classical import biharmonic_fill
from snips.errors import InvalidValue, UnsupportedOperator
from snips.interfaces import Level, MMSEDenoiser, NoiseLevels
from snips.noise import Noise
from snips.observation import Mask, Observation
from snips.tweedie import levels_like, score
from snips_plugins.samplers.reverse_sde import SDELevel, reverse_step, two_m_star

START = 0.4
"""First level of the annealing: about the spread of pictures in [0, 1]."""

C, G = 1.8, 0.54
"""Step h = C t and friction e^{−γh} = e^{−G}. Stable for C < 2: −t² ∂s/∂x of an MMSE denoiser lies in [0, 1]."""


@dataclass(frozen=True)
class NoisedLevel(Level):
    """A step of the noised path from level s = σ to `target` = t; t = s draws z_R again at the same level."""

    target: float = 0.0


@dataclass(frozen=True)
class MoveLevel(Level):
    """One BAOAB step at level t = σ: `step` is h, `kick` the time by which the score acts on the velocity."""

    step: float = 0.0
    kick: float = 0.0


class SplitState(NamedTuple):
    x: Tensor
    """z, then the diffusion's state from level σ0 down."""
    v: Tensor
    d: Tensor


@dataclass(frozen=True)
class NoiseSplit:
    """Inpainting in `steps` denoiser calls, split by a rule, or as anneal + correct + descend say.

    path: "noised" or "pinned". Raises InvalidValue for a split that cannot be.
    """

    steps: int = 30
    path: Literal["noised", "pinned"] = "noised"
    anneal: int | None = None
    correct: int | None = None
    descend: int | None = None

    def __post_init__(self) -> None:
        by_hand = (self.anneal, self.correct, self.descend)
        if any(part is not None for part in by_hand) and None in by_hand:
            raise InvalidValue("noise-split: set anneal, correct and descend together, or steps alone")
        if self.path not in ("noised", "pinned"):
            raise InvalidValue(f"noise-split's path is noised or pinned, not {self.path}")
        anneal, correct, descend = self.parts
        if anneal < 0 or correct < 1 or descend < 2:
            raise InvalidValue(
                f"noise-split cannot split into anneal {anneal} + correct {correct} + descend {descend}; "
                "it needs at least 0 + 1 + 2, or steps from 5 on"
            )

    @property
    def parts(self) -> tuple[int, int, int]:
        """(anneal, correct, descend)."""
        if self.anneal is not None and self.correct is not None and self.descend is not None:
            return self.anneal, self.correct, self.descend
        descend = 10 if self.steps >= 40 else min(8, 2 * self.steps // 5)
        rest = self.steps - descend
        anneal = 2 * round(0.2 * rest) if self.path == "noised" else round(0.47 * rest)
        return anneal, rest - anneal, descend

    def plan(self, observation: Observation, levels: NoiseLevels) -> list[Level]:
        """All steps. Raises UnsupportedOperator unless the operator is a Mask."""
        if not isinstance(observation.operator, Mask):
            name = type(observation.operator).__name__
            raise UnsupportedOperator(f"noise-split inpaints; {name} needs reverse-sde (Identity)")
        σ0, (anneal, correct, descend) = observation.sigma, self.parts
        start = max(min(START, levels.high), σ0)
        down = two_m_star(σ0, descend, levels.low)
        if self.path == "noised":
            return [*noised_path(start, σ0, anneal), *moves([σ0] * correct), *down]
        pinned = [start * (σ0 / start) ** (i / anneal) for i in range(anneal)]
        return [*moves(pinned + [σ0] * correct), *down]

    def init(self, observation: Observation, plan: Sequence[Level], noise: Noise) -> SplitState:
        R, t, σ0 = missing(observation), plan[0].sigma, observation.sigma
        z = noise.normal()
        filled = biharmonic_fill(observation.y, ~R)
        noised = math.sqrt(max(t**2 - σ0**2, 0)) if isinstance(plan[0], NoisedLevel) else 0.0
        x = filled + torch.where(R, t, noised) * z
        return SplitState(x, R * noise.normal(), torch.zeros_like(x))

    def step(
        self, state: Any, level: Any, denoiser: MMSEDenoiser, observation: Observation, noise: Noise
    ) -> SplitState:
        x, v, d = state
        if isinstance(level, SDELevel):
            x, d = reverse_step(x, d, level, denoiser, noise)
        elif isinstance(level, NoisedLevel):
            x = noised_step(x, level, denoiser, observation, noise)
        else:
            x, v = baoab_step(x, v, level, denoiser, observation, noise)
        return SplitState(x, v, d)


def noised_path(start: float, σ0: float, calls: int) -> list[Level]:
    """Levels from `start` to σ0, two calls each; of an odd number of calls the first level has one."""
    count = max((calls + 1) // 2, 1)
    σ = [start * (σ0 / start) ** (i / count) for i in range(count + 1)]
    steps: list[Level] = [NoisedLevel(s, target=target) for s, t in pairwise(σ) for target in (s, t)]
    return steps[len(steps) - calls :]


def moves(t: list[float]) -> list[Level]:
    """BAOAB steps at these levels, the closing kick of each fused with the opening one of the next."""
    h = [C * t_i for t_i in t]
    kicks = [h[0] / 2, *((a + b) / 2 for a, b in pairwise(h))]
    return [MoveLevel(t_i, step=h_i, kick=k_i) for t_i, h_i, k_i in zip(t, h, kicks, strict=True)]


def missing(observation: Observation) -> Tensor:
    """R, True where nothing was observed."""
    operator = observation.operator
    assert isinstance(operator, Mask)
    return ~operator.mask


def noised_step(
    x: Tensor, level: NoisedLevel, denoiser: MMSEDenoiser, observation: Observation, noise: Noise
) -> Tensor:
    s, t, σ0, z = level.sigma, level.target, observation.sigma, noise.normal()
    D, r = denoiser.denoise(x, levels_like(x, s)), (t / s) ** 2
    x_R = D + s * z if t == s else r * x + (1 - r) * D + t * math.sqrt(1 - r) * z
    x_M = observation.y + math.sqrt(max(t**2 - σ0**2, 0)) * z
    return torch.where(missing(observation), x_R, x_M)


def baoab_step(
    x: Tensor, v: Tensor, level: MoveLevel, denoiser: MMSEDenoiser, observation: Observation, noise: Noise
) -> tuple[Tensor, Tensor]:
    R, h, z = missing(observation), level.step, noise.normal()
    v = v + level.kick * R * score(denoiser, x, level.sigma)
    x = x + h / 2 * v
    v = math.exp(-G) * v + math.sqrt(1 - math.exp(-2 * G)) * R * z
    return x + h / 2 * v, v
