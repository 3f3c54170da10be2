"""Samplers beyond the paper's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snips.cards import Option, SamplerCard
from snips.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    from snips.interfaces import PosteriorSampler

LINEAR = ("inpaint", "deblur", "superres", "colorize", "compressive", "linear")
"""Tasks of a sampler that knows what to do with any operator that has an SVD."""

RHO = Option("rho", float, None, "ρ, where the noise splits; default: σ0/‖H‖, or the denoiser's largest")

FIRST_LEVEL = Option("sigma_max", float, None, "first level; default: 10, or the denoiser's largest")

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
        RHO,
    ),
)


SPLIT_GIBBS = SamplerCard(
    name="split-gibbs",
    summary="any linear operator: the picture and a noisy one in turn, given each other; asymptotically exact",
    licence="MIT",
    citation="Vono, Dobigeon, Chainais: Split-and-Augmented Gibbs Sampler, 2019",
    url="https://arxiv.org/abs/1804.05809",
    tasks=LINEAR,
    options=(
        Option("sweeps", int, 40, "draws of z and x in turn"),
        Option("calls", int, 5, "denoiser calls a sweep"),
        Option("anneal", int, None, "of the sweeps, from .4 down to ρ; default: a third"),
        RHO,
    ),
)

SMC = SamplerCard(
    name="smc",
    summary="the samples as particles, weighted and resampled together; exact for many of them, in few dimensions",
    licence="MIT",
    citation="Cardoso et al.: Monte Carlo guided Denoising Diffusion models for Bayesian linear inverse problems, 2023",
    url="https://arxiv.org/abs/2308.07983",
    tasks=LINEAR,
    couples_rows=True,
    options=(
        Option("steps", int, 100, "denoiser calls a sample"),
        Option("correct", int, 10, "of these, Langevin moves at ρ"),
        Option("descend", int, 10, "of these, from ρ down to 0"),
        FIRST_LEVEL,
        RHO,
    ),
)

SNIPS = SamplerCard(
    name="snips",
    summary="annealed Langevin dynamics for any linear operator, one singular value at a time",
    licence="MIT",
    citation="Kawar, Vaksman, Elad: SNIPS: Solving Noisy Inverse Problems Stochastically, 2021",
    url="https://arxiv.org/abs/2105.14951",
    tasks=("denoise", *LINEAR),
    options=(
        Option("preset", str, "quick", "ε, T, ratio and σ_max, as for langevin", ("quick", "celeba", "lsun", "ffhq")),
        Option("epsilon", float, None, "ε of the step ε σ_i²/.01²; default: the preset's"),
        Option("steps_per_level", int, None, "T, steps at each σ_i; default: the preset's"),
        Option("ratio", float, None, "of successive σ_i; default: the preset's"),
        Option("sigma_min", float, None, "last σ_i; default: .01, or the denoiser's smallest"),
        Option("sigma_max", float, None, "first σ_i; default: the preset's, or the denoiser's largest"),
    ),
)

BIASED = "a baseline for comparison: its samples are not of the posterior, however many steps it takes"

DDRM = SamplerCard(
    name="ddrm",
    summary="a baseline that is not exact: diffusion restoration, with y mixed in at every level",
    licence="MIT",
    citation="Kawar, Elad, Ermon, Song: Denoising Diffusion Restoration Models, 2022",
    url="https://arxiv.org/abs/2201.11793",
    tasks=("denoise", *LINEAR),
    expected_failed_checks={
        "check_posterior_mean[denoise]": BIASED,
        "check_posterior_mean[deblur]": BIASED,
        "check_posterior_spread": BIASED,
    },
    options=(
        Option("steps", int, 20, "denoiser calls a sample"),
        Option("eta", float, 0.85, "η, the share of fresh noise"),
        Option("eta_b", float, 1.0, "η_b, the share of y"),
        FIRST_LEVEL,
    ),
)

DIFFPIR = SamplerCard(
    name="diffpir",
    summary="a baseline that is not exact: plug-and-play steps towards y along a diffusion",
    licence="MIT",
    citation="Zhu et al.: Denoising Diffusion Models for Plug-and-Play Image Restoration, 2023",
    url="https://arxiv.org/abs/2305.08995",
    tasks=("denoise", *LINEAR),
    expected_failed_checks={
        "check_posterior_mean": BIASED,
        "check_posterior_spread[denoise]": BIASED,
        "check_posterior_spread[inpaint]": BIASED,
    },
    options=(
        Option("steps", int, 100, "denoiser calls a sample"),
        Option("lam", float, 7.0, "λ, the weight of the prior"),
        Option("zeta", float, 0.3, "ζ, the share of fresh noise"),
        FIRST_LEVEL,
    ),
)


def load_reverse_sde(**options: Any) -> PosteriorSampler:
    from snips_plugins.samplers.reverse_sde import ReverseSDE

    return ReverseSDE(**options)


def load_noise_split(**options: Any) -> PosteriorSampler:
    from snips_plugins.samplers.noise_split import NoiseSplit

    return NoiseSplit(**options)


def load_split_gibbs(**options: Any) -> PosteriorSampler:
    from snips_plugins.samplers.split_gibbs import SplitGibbs

    return SplitGibbs(**options)


def load_smc(**options: Any) -> PosteriorSampler:
    from snips_plugins.samplers.smc import SMC

    return SMC(**options)


def load_snips(**options: Any) -> PosteriorSampler:
    from snips_plugins.samplers.snips import Snips

    return Snips(**options)


def load_ddrm(**options: Any) -> PosteriorSampler:
    from snips_plugins.samplers.ddrm import DDRM

    return DDRM(**options)


def load_diffpir(**options: Any) -> PosteriorSampler:
    from snips_plugins.samplers.diffpir import DiffPIR

    return DiffPIR(**options)


@hookimpl
def register_samplers(register: Register) -> None:
    register(REVERSE_SDE, load_reverse_sde)
    register(NOISE_SPLIT, load_noise_split)
    register(SPLIT_GIBBS, load_split_gibbs)
    register(SMC, load_smc)
    register(SNIPS, load_snips)
    register(DDRM, load_ddrm)
    register(DIFFPIR, load_diffpir)
