"""Split the noise: sample z = x + ρ n₁ given y by Langevin dynamics at one level, then denoise z by the reverse SDE.

For y = H x + σ0 n and any ρ ≤ σ0/‖H‖ there is a z with y = H z + n₂, Cov n₂ = σ0² I − ρ² H Hᵀ, and given z, x does not
depend on y. For inpainting at ρ = σ0 this pins z = y on the observed pixels M, and the missing ones R move in
the exact score s(z, σ0) alone: no likelihood term, no gradient through the denoiser.

z is sampled by underdamped Langevin dynamics (the BAOAB splitting of Leimkuhler and Matthews 2013, kicks fused: one
denoiser call a step), annealed: at a level t > σ0 the same pinned dynamics samples the posterior under observation
noise t. Step h = c t, friction γ with e^{−γh} = e^{−g}.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snips.errors import InvalidValue, UnsupportedOperator
from snips.interfaces import Level, MMSEDenoiser, NoiseLevels
from snips.noise import Noise
from snips.observation import Mask, Observation
from snips.tweedie import score
from snips_plugins.samplers.reverse_sde import SDELevel, reverse_step, two_m_star

ANNEAL_FROM = 0.4
"""First level of the annealing: about the spread of pictures in [0, 1]."""

C, G = 1.8, 0.54
"""h = C t and e^{−γh} = e^{−G}. Stable for C < 2 with a true MMSE denoiser: −t² ∂s/∂x has eigenvalues in [0, 1]."""


@dataclass(frozen=True)
class MoveLevel(Level):
    """One BAOAB step at σ = t: `step` is h, `kick` the time by which the score acts on the velocity."""

    step: float = 0.0
    kick: float = 0.0


class SplitState(NamedTuple):
    x: Tensor
    """z while it moves, then the diffusion state from level σ0 down."""
    v: Tensor
    d: Tensor


@dataclass(frozen=True)
class NoiseSplit:
    """Inpainting in two parts: z | y by annealed Langevin dynamics, then x | z by 2M*.

    steps: denoiser calls a sample, split into anneal + correct + descend by a rule, or set all three by hand.
    Raises InvalidValue for a split that cannot be.
    """

    steps: int = 30
    anneal: int | None = None
    correct: int | None = None
    descend: int | None = None

    def __post_init__(self) -> None:
        by_hand = (self.anneal, self.correct, self.descend)
        if any(part is not None for part in by_hand) and None in by_hand:
            raise InvalidValue("noise-split: set anneal, correct and descend together, or steps alone")
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
        anneal = round(0.47 * (self.steps - descend))
        return anneal, self.steps - descend - anneal, descend

    def plan(self, observation: Observation, levels: NoiseLevels) -> list[MoveLevel | SDELevel]:
        """All steps: t from .4 down to σ0, then at σ0, then 2M* to 0. Raises UnsupportedOperator unless a Mask."""
        if not isinstance(observation.operator, Mask):
            name = type(observation.operator).__name__
            raise UnsupportedOperator(f"noise-split inpaints; {name} needs reverse-sde (Identity)")
        σ0, (anneal, correct, descend) = observation.sigma, self.parts
        start = max(min(ANNEAL_FROM, levels.high), σ0)
        t = [start * (σ0 / start) ** (i / max(anneal, 1)) for i in range(anneal)] + [σ0] * correct
        h = [C * t_i for t_i in t]
        kicks = [h[0] / 2, *((a + b) / 2 for a, b in pairwise(h))]
        moves = [MoveLevel(t_i, step=h_i, kick=k_i) for t_i, h_i, k_i in zip(t, h, kicks, strict=True)]
        return [*moves, *two_m_star(σ0, descend, levels.low)]

    def init(self, observation: Observation, plan: Sequence[Any], noise: Noise) -> SplitState:
        y, R = observation.operator.adjoint(observation.y), _missing(observation)
        x = torch.where(R, 0.5 + plan[0].sigma * noise.normal(), y)
        return SplitState(x, R * noise.normal(), torch.zeros_like(x))

    def step(
        self, state: Any, level: MoveLevel | SDELevel, denoiser: MMSEDenoiser, observation: Observation, noise: Noise
    ) -> SplitState:
        x, v, d = state
        if isinstance(level, SDELevel):
            x, d = reverse_step(x, d, level, denoiser, noise)
            return SplitState(x, v, d)
        R, h, z = _missing(observation), level.step, noise.normal()
        v = v + level.kick * R * score(denoiser, x, level.sigma)
        x = x + h / 2 * v
        v = math.exp(-G) * v + math.sqrt(1 - math.exp(-2 * G)) * R * z
        x = x + h / 2 * v
        return SplitState(x, v, d)


def _missing(observation: Observation) -> Tensor:
    operator = observation.operator
    assert isinstance(operator, Mask)
    return ~operator.mask
