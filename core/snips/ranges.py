"""A σ outside what the denoiser is made for: an error, or a policy that is stated and recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from snips.errors import InvalidValue, NoiseLevelError
from snips.interfaces import Level, MMSEDenoiser, NoiseLevels

Policy = Literal["error", "clamp", "scale"]


def check_plan(plan: Sequence[Level], levels: NoiseLevels, policy: str) -> int:
    """The number of steps whose σ the denoiser is not made for.

    Raises NoiseLevelError if there are any and the policy is "error", InvalidValue for an unknown policy.
    """
    if policy not in get_args(Policy):
        raise InvalidValue(f"out_of_range must be one of {', '.join(get_args(Policy))}, not {policy}")
    outside = [level.sigma for level in plan if level.sigma not in levels]
    if outside and policy == "error":
        raise NoiseLevelError(
            f"the denoiser is made for σ in {levels}, and {len(outside)} of {len(plan)} steps lie outside it "
            f"(σ {max(outside):.4g} to {min(outside):.4g}); "
            f"out_of_range=clamp or scale (--out-of-range) uses it all the same"
        )
    return len(outside)


@dataclass(frozen=True)
class WithinRange:
    """A denoiser for every σ, made from one for some.

    policy "clamp": D(x, σ) = D(x, σ'), σ' the nearest level it is made for. policy "scale", denoiser scaling
    (Xu et al., "Boosting the Performance of Plug-and-Play Priors via Denoiser Scaling", 2020):
    D(x, σ) = (σ/σ') D(x σ'/σ, σ').
    """

    denoiser: MMSEDenoiser
    policy: Policy

    @property
    def noise_levels(self) -> NoiseLevels:
        return NoiseLevels(0.0, float("inf"), blind=self.denoiser.noise_levels.blind)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        levels = self.denoiser.noise_levels
        if levels.only:
            only = torch.tensor(levels.only, dtype=sigma.dtype).to(sigma.device, non_blocking=True)
            near = only[(only.log() - sigma.log()[:, None]).abs().argmin(1)]
        else:
            near = sigma.clamp(levels.low, levels.high)
        if self.policy == "clamp":
            return self.denoiser.denoise(x, near)
        gain = (sigma / near)[:, None, None, None]
        return gain * self.denoiser.denoise(x / gain, near)
