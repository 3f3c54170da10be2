"""drunet-small: the packaged prior for photographs, gray and colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snips.cards import DenoiserCard, Option, TrainableCard
from snips.hookspecs import Register, hookimpl
from snips.interfaces import NoiseLevels

if TYPE_CHECKING:
    import torch

    from snips.interfaces import MMSEDenoiser
    from snips.training.trainable import Trainable

LEVELS = NoiseLevels(0.002, 1.0)

CITATION = "Zhang et al.: Plug-and-Play Image Restoration with Deep Denoiser Prior, IEEE TPAMI 2021"

DENOISER = DenoiserCard(
    name="drunet-small",
    summary="the packaged network for photographs, gray or colour, of any size",
    licence="MIT",
    citation=CITATION,
    url="https://arxiv.org/abs/2008.13751",
    noise_levels=LEVELS,
    channels=(1, 3),
    options=(Option("weights", str, "photographs", "photographs, dead-leaves, or a file of `snips train`"),),
)

TRAINABLE = TrainableCard(
    name="drunet-small",
    summary="a small U-Net that is told σ, after DRUNet",
    licence="MIT",
    citation=CITATION,
    options=(
        Option("channels", str, "both", "of the pictures", ("gray", "colour", "both")),
        Option("widths", str, "64,96,128,192", "features at each scale, from half the picture's size on down"),
        Option("blocks", int, 2, "residual blocks at each scale, on either side"),
        Option("weights", str, None, "start from these, as wide or narrower, instead of fresh ones"),
    ),
)


def load(device: str | torch.device = "cpu", weights: str = "photographs") -> MMSEDenoiser:
    from snips_plugins.drunet_small.denoiser import load_drunet_small

    return load_drunet_small(weights, device)


def trainable(**options: Any) -> Trainable:
    from snips_plugins.drunet_small.denoiser import drunet_small_trainable

    return drunet_small_trainable(**options)


@hookimpl
def register_denoisers(register: Register) -> None:
    register(DENOISER, load)


@hookimpl
def register_trainables(register: Register) -> None:
    register(TRAINABLE, trainable)
