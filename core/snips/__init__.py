"""snips: any MMSE denoiser as a sampler of the posterior.

Names are looked up when first used, so that `import snips` costs next to nothing and does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {
    "snips.interfaces": [
        "MMSEDenoiser",
        "PosteriorSampler",
        "NoiseLevels",
        "Level",
        "State",
        "Operator",
        "SpectralOperator",
    ],
    "snips.observation": ["Observation", "Identity", "Mask"],
    "snips.operators": ["Blur", "Downsample", "Grayscale", "Matrix", "WalshHadamard"],
    "snips.noise": ["Noise"],
    "snips.tweedie": ["score", "denoise"],
    "snips.engine": ["sample", "iterate", "Step"],
    "snips.posterior": ["Posterior"],
    "snips.cards": ["DenoiserCard", "SamplerCard", "TaskCard", "TrainableCard", "Option", "WeightsFile"],
    "snips.hookspecs": ["hookimpl"],
    "snips.plugins": [
        *("denoisers", "samplers", "tasks", "trainables"),
        *("load_denoiser", "load_sampler", "load_task", "load_trainable"),
    ],
    "snips.training.trainable": ["Trainable"],
    "snips.errors": ["SnipsError", "SnipsWarning"],
}
_MODULES = ("adapters", "analytic", "testing", "metrics", "errors")
_NAMES = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Blur",
    "DenoiserCard",
    "Downsample",
    "Grayscale",
    "Identity",
    "Level",
    "MMSEDenoiser",
    "Mask",
    "Matrix",
    "Noise",
    "NoiseLevels",
    "Observation",
    "Operator",
    "Option",
    "Posterior",
    "PosteriorSampler",
    "SamplerCard",
    "SnipsError",
    "SnipsWarning",
    "SpectralOperator",
    "State",
    "Step",
    "TaskCard",
    "Trainable",
    "TrainableCard",
    "WalshHadamard",
    "WeightsFile",
    "adapters",
    "analytic",
    "denoise",
    "denoisers",
    "errors",
    "hookimpl",
    "iterate",
    "load_denoiser",
    "load_sampler",
    "load_task",
    "load_trainable",
    "metrics",
    "sample",
    "samplers",
    "score",
    "tasks",
    "testing",
    "trainables",
]

if TYPE_CHECKING:
    from snips import adapters, analytic, errors, metrics, testing
    from snips.cards import DenoiserCard, Option, SamplerCard, TaskCard, TrainableCard, WeightsFile
    from snips.engine import Step, iterate, sample
    from snips.errors import SnipsError, SnipsWarning
    from snips.hookspecs import hookimpl
    from snips.interfaces import Level, MMSEDenoiser, NoiseLevels, Operator, PosteriorSampler, SpectralOperator, State
    from snips.noise import Noise
    from snips.observation import Identity, Mask, Observation
    from snips.operators import Blur, Downsample, Grayscale, Matrix, WalshHadamard
    from snips.plugins import (
        denoisers,
        load_denoiser,
        load_sampler,
        load_task,
        load_trainable,
        samplers,
        tasks,
        trainables,
    )
    from snips.posterior import Posterior
    from snips.training.trainable import Trainable
    from snips.tweedie import denoise, score


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    if name in _MODULES:
        return import_module(f"snips.{name}")
    raise AttributeError(f"module snips has no attribute {name}")


def __dir__() -> list[str]:
    return __all__
