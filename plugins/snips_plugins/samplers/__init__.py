"""Samplers beyond the paper's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snips.cards import Option, SamplerCard
from snips.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    from snips.interfaces import PosteriorSampler

LINEAR = ("inpaint", "deblur", "superres", "colorize", "compressive", "linear")
"""Tasks of a sampler that knows what to do with any operator that has an SVD."""

REVERSE_SDE = SamplerCard(
    name="reverse-sde",
    summary="the reverse diffusion started at y: denoising in 5 to 20 denoiser calls, asymptotically exact",
    licence="MIT",
    citation="Song et al.: Score-Based Generative Modeling through Stochastic Differential Equations, 2021",
    url="https://arxiv.org/abs/2011.13456",
    tasks=("denoise",),
    options=(
        Option("steps", int, 20, "denoiser calls a sample"),
        Option("variant", str, "2m-star", "how a step looks back", ("2m-star", "2m", "euler", "heun")),
        Option("sigma_min", float, None, "last level; default: by rule, as far as the denoiser reaches"),
    ),
)

NOISE_SPLIT = SamplerCard(
    name="noise-split",
    summary="any linear operator by Langevin dynamics, then reverse diffusion: 20 to 50 calls, asymptotically exact",
    licence="MIT",
    citation="Leimkuhler, Matthews: Rational Construction of Stochastic Numerical Methods for Molecular Sampling, 2013",
    tasks=LINEAR,
    options=(
        Option("steps", int, 30, "denoiser calls a sample"),
        Option("path", str, "noised", "how the annealing treats what was observed", ("noised", "pinned")),
        Option("anneal", int, None, "of these, from .4 down to ρ"),
        Option("correct", int, None, "of these, at ρ"),
        Option("descend", int, None, "of these, from ρ down to 0"),
        Option("rho", float, None, "ρ, where the noise splits; default: σ0/‖H‖, or the denoiser's largest"),
    ),
)


def load_reverse_sde(**options: Any) -> PosteriorSampler:
    from snips_plugins.samplers.reverse_sde import ReverseSDE

    return ReverseSDE(**options)


def load_noise_split(**options: Any) -> PosteriorSampler:
    from snips_plugins.samplers.noise_split import NoiseSplit

    return NoiseSplit(**options)


@hookimpl
def register_samplers(register: Register) -> None:
    register(REVERSE_SDE, load_reverse_sde)
    register(NOISE_SPLIT, load_noise_split)
