"""What core itself brings through the door: the paper's sampler, the two tasks, and the analytic priors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snips.cards import DenoiserCard, Option, SamplerCard, TaskCard
from snips.hookspecs import Register, hookimpl
from snips.interfaces import NoiseLevels

if TYPE_CHECKING:
    import torch

    from snips.interfaces import MMSEDenoiser, PosteriorSampler
    from snips.tasks import Task

PAPER = "Kawar, Vaksman, Elad: Stochastic Image Denoising by Sampling from the Posterior Distribution, 2021"

LANGEVIN = SamplerCard(
    name="langevin",
    summary="annealed Langevin dynamics, the paper's Algorithms 1 and 2",
    licence="MIT",
    citation=PAPER,
    url="https://arxiv.org/abs/2101.09552",
    tasks=("denoise", "inpaint"),
    options=(
        Option(
            "preset", str, "quick", "ε, T, ratio and σ_max: ours or the paper's", ("quick", "celeba", "lsun", "ffhq")
        ),
        Option("epsilon", float, None, "ε of the step α_i = ε σ_i²/.01²; default: the preset's"),
        Option("steps_per_level", int, None, "T, steps at each σ_i; default: the preset's"),
        Option("ratio", float, None, "of successive σ_i; default: the preset's"),
        Option("sigma_min", float, None, "last σ_i; default: .01, or the denoiser's smallest"),
        Option("sigma_max", float, None, "first σ_i of inpainting; default: the preset's, or the denoiser's largest"),
        Option("final_denoise", bool, False, "end with one D(x, σ_min), which the paper does not do"),
    ),
)

DENOISE = TaskCard(
    name="denoise",
    summary="white Gaussian noise on every pixel",
    licence="MIT",
    samplers=("reverse-sde", "langevin"),
)

INPAINT = TaskCard(
    name="inpaint",
    summary="missing pixels, and white Gaussian noise on the others",
    licence="MIT",
    options=(
        Option("mask", str, "text", "text, rows[:COUNT], box[:SIDE], eye, random[:SHARE missing], or a picture file"),
    ),
    required=("mask",),
    samplers=("noise-split", "split-gibbs", "langevin"),
)

GAUSSIAN_FIELD = DenoiserCard(
    name="gaussian-field",
    summary="the exact denoiser of a Gaussian random field with a power-law spectrum",
    licence="MIT",
    noise_levels=NoiseLevels(0.0, float("inf")),
    options=(
        Option("mean", float, 0.5, "of every pixel"),
        Option("std", float, 0.2, "of every pixel"),
        Option("power", float, 2.0, "of the spectrum |k|^-power"),
    ),
)

GAUSSIAN_MIXTURE = DenoiserCard(
    name="gaussian-mixture",
    summary="the exact denoiser of a mixture of flat gray levels, each with white variation",
    licence="MIT",
    noise_levels=NoiseLevels(0.0, float("inf")),
    options=(
        Option("components", int, 3, "gray levels, spread evenly over [0, 1]"),
        Option("std", float, 0.1, "of the white variation"),
    ),
    expected_failed_checks=dict.fromkeys(
        ("check_lowers_error", "check_tweedie", "check_odd_sizes"),
        "its prior is flat gray pictures, and the kit's are not flat",
    ),
)


def load_langevin(**options: Any) -> PosteriorSampler:
    from snips.langevin import Langevin

    return Langevin(**options)


def load_denoise() -> Task:
    from snips.tasks import Denoise

    return Denoise()


def load_inpaint(**options: Any) -> Task:
    from snips.tasks import Inpaint

    return Inpaint(**options)


def load_gaussian_field(device: torch.device, **options: Any) -> MMSEDenoiser:
    from snips.analytic import PowerLawField

    return PowerLawField(**options)


def load_gaussian_mixture(device: torch.device, **options: Any) -> MMSEDenoiser:
    from snips.analytic import GrayLevels

    return GrayLevels(**options)


@hookimpl
def register_denoisers(register: Register) -> None:
    register(GAUSSIAN_FIELD, load_gaussian_field)
    register(GAUSSIAN_MIXTURE, load_gaussian_mixture)


@hookimpl
def register_samplers(register: Register) -> None:
    register(LANGEVIN, load_langevin)


@hookimpl
def register_tasks(register: Register) -> None:
    register(DENOISE, load_denoise)
    register(INPAINT, load_inpaint)
