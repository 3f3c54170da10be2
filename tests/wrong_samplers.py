"""Deliberately wrong samplers, each with one mistake that people make around the right one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

import snips
from snips.errors import UnsupportedOperator
from snips.tweedie import levels_like


class EulerState(NamedTuple):
    x: Tensor


@dataclass(frozen=True)
class EulerLevel(snips.Level):
    target: float = 0.0


class RightSampler:
    """Euler's method in σ² for the reverse diffusion from y, and D at the end."""

    steps = 24

    def plan(self, observation, levels):
        if not isinstance(observation.operator, snips.Identity):
            raise UnsupportedOperator("only denoises")
        low = max(levels.low, 0.01)
        σ = [observation.sigma * (low / observation.sigma) ** (i / self.steps) for i in range(self.steps)] + [low]
        return [EulerLevel(s, target=t) for s, t in pairwise(σ)] + [EulerLevel(low)]

    def init(self, observation, plan, noise):
        return EulerState(observation.y.clone())

    def step(self, state, level, denoiser, observation, noise):
        x, s, t = state.x, level.sigma, level.target
        D = denoiser.denoise(x, levels_like(x, s))
        if t == 0:
            return EulerState(D)
        return EulerState(x + (1 - (t / s) ** 2) * (D - x) + math.sqrt(s**2 - t**2) * noise.normal())


class Scaled:
    """Noise times a number."""

    def __init__(self, noise, scale):
        self.noise, self.scale = noise, scale

    def normal(self):
        return self.scale * self.noise.normal()


class UnderDispersed(RightSampler):
    def step(self, state, level, denoiser, observation, noise):
        return super().step(state, level, denoiser, observation, Scaled(noise, 0.8))


class OverDispersed(RightSampler):
    def step(self, state, level, denoiser, observation, noise):
        return super().step(state, level, denoiser, observation, Scaled(noise, 1.25))


class Estimates(RightSampler):
    """The probability flow: no noise, one answer."""

    def step(self, state, level, denoiser, observation, noise):
        return super().step(state, level, denoiser, observation, Scaled(noise, 0.0))


class ForgetsY(RightSampler):
    """Starts from the prior's noisy pictures instead of y: samples of the prior."""

    def init(self, observation, plan, noise):
        return EulerState(0.5 + math.hypot(0.2, observation.sigma) * noise.normal())


class HalfwayToPrior(RightSampler):
    """The right spread around the wrong place."""

    def init(self, observation, plan, noise):
        return EulerState(0.5 + 0.5 * (observation.y - 0.5))


class SamplesGlobally(RightSampler):
    def step(self, state, level, denoiser, observation, noise):
        class Global:
            def normal(self):
                return torch.randn_like(state.x)

        return super().step(state, level, denoiser, observation, Global())


class SamplesFromItself(RightSampler):
    """With a generator of its own: the samples depend on how often it was asked."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(0)

    def __deepcopy__(self, memo):
        return type(self)()

    def step(self, state, level, denoiser, observation, noise):
        generator = self.generator

        class Own:
            def normal(self):
                return torch.randn(state.x.shape, generator=generator)

        return super().step(state, level, denoiser, observation, Own())


class CouplesRows(RightSampler):
    """Antithetic noise: rows come in pairs."""

    def step(self, state, level, denoiser, observation, noise):
        z = noise.normal()

        class Antithetic:
            def normal(self):
                return torch.cat([z[: len(z) - len(z) // 2], -z[: len(z) // 2]])

        return super().step(state, level, denoiser, observation, Antithetic())


class KeepsMomentum(RightSampler):
    """The step before, kept on the sampler and forgotten at the start of a batch only."""

    last = None

    def init(self, observation, plan, noise):
        self.last = None
        return super().init(observation, plan, noise)

    def step(self, state, level, denoiser, observation, noise):
        new = super().step(state, level, denoiser, observation, noise)
        if self.last is not None and level.target:
            new = EulerState(new.x + 0.01 * self.last)
        self.last = new.x - state.x
        return new


class CountsRuns(RightSampler):
    """Another σ_min for every batch it has seen."""

    runs = 0

    def init(self, observation, plan, noise):
        self.runs += 1
        return EulerState(observation.y + 1e-3 * self.runs * noise.normal())


class LiesAboutCalls(RightSampler):
    def step(self, state, level, denoiser, observation, noise):
        denoiser.denoise(state.x, levels_like(state.x, level.sigma))
        return super().step(state, level, denoiser, observation, noise)


class CallsElsewhere(RightSampler):
    """Below the σ that the plan says."""

    def step(self, state, level, denoiser, observation, noise):
        class Below:
            def denoise(self, x, sigma):
                return denoiser.denoise(x, 0.9 * sigma)

        return super().step(state, level, Below(), observation, noise)


class Diverges(RightSampler):
    """Where there is much noise."""

    def step(self, state, level, denoiser, observation, noise):
        new = super().step(state, level, denoiser, observation, noise)
        return EulerState(new.x * math.inf) if level.sigma > 0.5 else new


class ModifiesY(RightSampler):
    def init(self, observation, plan, noise):
        return EulerState(observation.y)

    def step(self, state, level, denoiser, observation, noise):
        new = super().step(state, level, denoiser, observation, noise)
        state.x.copy_(new.x)
        return state


class CentresY(RightSampler):
    """In place, while it makes its plan."""

    def plan(self, observation, levels):
        observation.y.sub_(0.5)
        return super().plan(observation, levels)


class PlansFromY(RightSampler):
    def plan(self, observation, levels):
        plan = super().plan(observation, levels)
        return plan[int(observation.y.mean() > 0.5) :]


class PlansOutOfRange(RightSampler):
    def plan(self, observation, levels):
        return super().plan(observation, snips.NoiseLevels(0, levels.high))


class PlansNothing(RightSampler):
    def plan(self, observation, levels):
        return []


class PlansNumbers(RightSampler):
    def plan(self, observation, levels):
        return [level.sigma for level in super().plan(observation, levels)]


class PlainState(RightSampler):
    """A tensor instead of a NamedTuple of tensors."""

    def init(self, observation, plan, noise):
        return observation.y.clone()

    def step(self, state, level, denoiser, observation, noise):
        return super().step(EulerState(state), level, denoiser, observation, noise).x


class CountingState(NamedTuple):
    x: Tensor
    count: int


class NumberInState(RightSampler):
    """A step counter that is no tensor, so that no checkpoint can hold it."""

    def init(self, observation, plan, noise):
        return CountingState(observation.y.clone(), 0)

    def step(self, state, level, denoiser, observation, noise):
        return CountingState(super().step(state, level, denoiser, observation, noise).x, state.count + 1)


class LooksAtMissingPixels:
    """A product with the mask where a choice is needed."""

    def __init__(self):
        inpainting = snips.load_sampler("noise-split")
        self.plan, self.init, self.inner = inpainting.plan, inpainting.init, inpainting

    def step(self, state, level, denoiser, observation, noise):
        new = self.inner.step(state, level, denoiser, observation, noise)
        return new._replace(x=new.x + 0 * observation.y)
