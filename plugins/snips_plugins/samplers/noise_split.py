"""Split the noise: sample z = x + ρ n₁ given y by Langevin dynamics at one level, then denoise z by the reverse SDE.

For y = H x + σ0 n and any ρ ≤ σ0/‖H‖ there is a z with y = H z + n₂, Cov n₂ = σ0² I − ρ² H Hᵀ, and given z, x does not
depend on y. So z moves in the exact posterior ∇ log p(z | y) = s(z, ρ) + Hᵀ (σ0² I − ρ² H Hᵀ)⁻¹ (y − H z), with no
gradient through the denoiser. At ρ = σ0/‖H‖ what H passes on best is pinned, z = y/‖H‖; for inpainting that is all that
is observed, and the rest moves in the score alone. In three parts:

anneal: from a classical estimate plus noise down to ρ. The noised path brings what is observed to each level t by
    noise of its own, so that the denoiser sees noise of one level everywhere, and draws z twice a level. The pinned
    path keeps y at every level, which is the posterior under observation noise t σ0/ρ.
correct: underdamped Langevin dynamics at ρ, by the BAOAB splitting of Leimkuhler and Matthews (2013) with its kicks
    fused to one denoiser call a step. In the coordinates of H = U S Vᵀ the likelihood is as stiff as 1/(1 − q),
    q = ρ² s²/σ0², and so is the mass: what is known well is no slower, and no less stable, than the rest.
    With the number of these steps the sampler becomes exact.
descend: 2M* from z to x.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from snips.diagnostics import effective_samples, split_r_hat
from snips.errors import InvalidValue, SnipsWarning, UnsupportedOperator
from snips.interfaces import Level, MMSEDenoiser, NoiseLevels
from snips.noise import Noise
from snips.observation import Identity, Observation
from snips.tweedie import levels_like, score
from snips_plugins.samplers.reverse_sde import SDELevel, reverse_step, two_m_star
from snips_plugins.samplers.spectral import START, Split, split_level, starting_picture

WAVES = [(j, i) for j in range(3) for i in range(3)]
"""Half periods of the cosines that are watched, down and across the picture."""

MIXED = 1.5
"""R̂ beyond which a warning is due. With the few steps of the defaults it is 1.2 where half of the pixels are missing,
and 2 for a box: it says whether chains forget their start, and nothing of how good the start was."""

C, G = 1.8, 0.54
"""Step h = C t and friction e^{−γh} = e^{−G}. Stable for C < 2: −t² ∂s/∂x of an MMSE denoiser lies in [0, 1]."""


@dataclass(frozen=True)
class NoisedLevel(Level):
    """A step of the noised path from level s = σ to `target` = t; t = s draws z again at the same level."""

    target: float = 0.0
    rho: float = 0.0


@dataclass(frozen=True)
class MoveLevel(Level):
    """One BAOAB step at level t = σ: `step` is h, `kick` the time by which the score acts on the velocity."""

    step: float = 0.0
    kick: float = 0.0
    rho: float = 0.0
    place: int | None = None
    """Where in the trace the step at ρ is kept."""


class SplitState(NamedTuple):
    x: Tensor
    """z, then the diffusion's state from level ρ down."""
    v: Tensor
    """Velocity in the coordinates of H, in units of its own spread."""
    d: Tensor
    trace: Tensor
    """(B, waves, steps at ρ): slow waves in z, from which diagnose tells whether the chains have mixed."""


@dataclass(frozen=True)
class NoiseSplit:
    """Any linear operator in `steps` denoiser calls, split by a rule, or as anneal + correct + descend say.

    path: "noised" or "pinned". rho: ρ, by default σ0/‖H‖, as far as the denoiser reaches. Raises InvalidValue for a
    split that cannot be.
    """

    steps: int = 30
    path: Literal["noised", "pinned"] = "noised"
    anneal: int | None = None
    correct: int | None = None
    descend: int | None = None
    rho: float | None = None

    diagnosed: ClassVar[tuple[str, ...]] = ("trace",)

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
        """(anneal, correct, descend), chosen on known posteriors and real networks.

        Of few calls, fewer than 8 for the descent are better spent on moving. On the pinned path, where modes can still
        be changed, more than 24 at ρ, where they cannot, are better spent on annealing.
        """
        if self.anneal is not None and self.correct is not None and self.descend is not None:
            return self.anneal, self.correct, self.descend
        descend = 10 if self.steps >= 40 else 8 if self.steps >= 25 else min(6, 2 * self.steps // 5)
        rest = self.steps - descend
        anneal = 2 * round(0.2 * rest) if self.path == "noised" else max(round(0.47 * rest), rest - 24)
        return anneal, rest - anneal, descend

    def plan(self, observation: Observation, levels: NoiseLevels) -> list[Level]:
        """All steps. Raises UnsupportedOperator for Identity and without an SVD, InvalidValue for too large a ρ."""
        if isinstance(observation.operator, Identity):
            raise UnsupportedOperator("noise-split has nothing to split when all is observed; reverse-sde denoises")
        ρ, (anneal, correct, descend) = split_level(observation, levels, self.rho, "noise-split"), self.parts
        start = max(min(START, levels.high), ρ)
        down = two_m_star(ρ, descend, levels.low)
        if self.path == "noised":
            return [*noised_path(start, ρ, anneal), *moves([ρ] * correct, ρ), *down]
        pinned = [start * (ρ / start) ** (i / anneal) for i in range(anneal)]
        return [*moves(pinned + [ρ] * correct, ρ, anneal), *down]

    def init(self, observation: Observation, plan: Sequence[Any], noise: Noise) -> SplitState:
        first = plan[0]
        split = Split.of(observation, first.rho)
        x = split.draw(
            starting_picture(observation), first.sigma, 0.0, noise.normal(), noised=isinstance(first, NoisedLevel)
        )
        steps = sum(isinstance(level, MoveLevel) and level.place is not None for level in plan)
        trace = x.new_zeros(len(x), len(WAVES), steps)
        return SplitState(x, noise.normal(), torch.zeros_like(x), trace)

    def step(
        self, state: Any, level: Any, denoiser: MMSEDenoiser, observation: Observation, noise: Noise
    ) -> SplitState:
        x, v, d, trace = state
        if isinstance(level, SDELevel):
            x, d = reverse_step(x, d, level, denoiser, noise)
        elif isinstance(level, NoisedLevel):
            x = noised_step(x, level, denoiser, observation, noise)
        else:
            x, v = baoab_step(x, v, level, denoiser, observation, noise)
            if level.place is not None:
                here = torch.arange(trace.shape[2], device=trace.device) == level.place
                trace = torch.where(here, slow_waves(x, Split.of(observation, level.rho))[..., None], trace)
        return SplitState(x, v, d, trace)

    def diagnose(self, trace: Tensor) -> dict[str, float]:
        """R̂ and effective sample size of the wave for which they are worst. Warns if chains keep to their start."""
        chains, waves, steps = trace.shape
        r_hats = [r for r in (split_r_hat(trace[:, k]) for k in range(waves)) if math.isfinite(r)]
        sizes = [n for n in (effective_samples(trace[:, k]) for k in range(waves)) if math.isfinite(n)]
        r_hat, ess = max(r_hats, default=math.nan), min(sizes, default=math.nan)
        if r_hat > MIXED and chains >= 4 and steps >= 8:
            warnings.warn(
                f"noise-split has not mixed (R̂ = {r_hat:.1f} after {steps} steps at ρ): its samples are as good as the "
                "annealing; more steps make them exact",
                SnipsWarning,
                stacklevel=2,
            )
        return {"r_hat": r_hat, "ess": ess, "chains": float(chains), "steps": float(steps)}


def noised_path(start: float, ρ: float, calls: int) -> list[Level]:
    """Levels from `start` to ρ, two calls each; of an odd number of calls the first level has one."""
    count = max((calls + 1) // 2, 1)
    σ = [start * (ρ / start) ** (i / count) for i in range(count + 1)]
    steps: list[Level] = [NoisedLevel(s, target=target, rho=ρ) for s, t in pairwise(σ) for target in (s, t)]
    return steps[len(steps) - calls :]


def moves(t: list[float], ρ: float, anneal: int = 0) -> list[Level]:
    """BAOAB steps at these levels, the closing kick of each fused with the opening one of the next.

    The first `anneal` of them are on the way to ρ; the others are kept in the trace.
    """
    h = [C * t_i for t_i in t]
    kicks = [h[0] / 2, *((a + b) / 2 for a, b in pairwise(h))]
    places = [i - anneal if i >= anneal else None for i in range(len(t))]
    steps = zip(t, h, kicks, places, strict=True)
    return [MoveLevel(t_i, step=h_i, kick=k_i, rho=ρ, place=i) for t_i, h_i, k_i, i in steps]


def noised_step(
    x: Tensor, level: NoisedLevel, denoiser: MMSEDenoiser, observation: Observation, noise: Noise
) -> Tensor:
    s, t = level.sigma, level.target
    D, r = denoiser.denoise(x, levels_like(x, s)), 0.0 if t == s else (t / s) ** 2
    return Split.of(observation, level.rho).draw(r * x + (1 - r) * D, t, r, noise.normal())


def baoab_step(
    x: Tensor, v: Tensor, level: MoveLevel, denoiser: MMSEDenoiser, observation: Observation, noise: Noise
) -> tuple[Tensor, Tensor]:
    split = Split.of(observation, level.rho)
    vt, free, h = split.operator.vt, split.free, level.step
    c, force = vt(x), vt(score(denoiser, x, level.sigma))
    v = v + level.kick * (free * force + split.pull(c, level.sigma))
    c = c + h / 2 * free * v
    v = math.exp(-G) * v + math.sqrt(1 - math.exp(-2 * G)) * noise.normal()
    return split.operator.v(c + h / 2 * free * v), v


def slow_waves(z: Tensor, split: Split) -> Tensor:
    """(B, waves): how much of each of the slowest waves of the picture is in what z is free to be."""
    height, width = z.shape[2:]
    y, x = (torch.arange(side, dtype=z.dtype, device=z.device).add(0.5) * (math.pi / side) for side in (height, width))
    waves = torch.stack([torch.cos(j * y)[:, None] * torch.cos(i * x) for j, i in WAVES])
    pictures = waves[:, None].expand(-1, z.shape[1], height, width) / math.sqrt(z[0].numel())
    free = split.operator.v(split.free * split.operator.vt(pictures))
    return (z[:, None] * free).sum((2, 3, 4))
