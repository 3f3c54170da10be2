"""Any backbone of timm as the encoder of a denoiser, to be trained by `snips train timm`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snips.cards import DenoiserCard, Option, TrainableCard
from snips.hookspecs import Register, hookimpl
from snips.interfaces import NoiseLevels

if TYPE_CHECKING:
    import torch

    from snips.interfaces import MMSEDenoiser
    from snips.training.trainable import Trainable

BACKBONE = "convnext_atto"
LEVELS = NoiseLevels(0.01, 1.0)

NETWORK_OPTIONS = (
    Option("backbone", str, BACKBONE, "any that timm can take features from: `timm.list_models('*')`"),
    Option("channels", str, "colour", "of the pictures", ("gray", "colour")),
    Option("width", int, 32, "features of the decoder at half the picture's size; coarser ones have up to 4 times it"),
    Option("pretrained", bool, False, "start the backbone from timm's own weights, fetched from its hub"),
)
"""What a fresh network is made of."""

TIMM = DenoiserCard(
    name="timm",
    summary="a U-Net that is told σ, its encoder any backbone of timm; comes untrained",
    licence="Apache-2.0 (timm); that of weights is their own",
    citation="Wightman: PyTorch Image Models, 2019; preconditioned after Karras et al.: Elucidating the Design Space "
    "of Diffusion-Based Generative Models, NeurIPS 2022",
    url="https://github.com/huggingface/pytorch-image-models",
    noise_levels=LEVELS,
    extra="timm",
    options=(
        Option("weights", str, None, "what `snips train timm` has written; backbone, channels and σ are seen from it"),
        Option("untrained", bool, False, "without weights, take a network that is not trained"),
        *NETWORK_OPTIONS,
    ),
)

TRAINABLE = TrainableCard(
    name="timm",
    summary="a U-Net that is told σ, its encoder any backbone of timm",
    licence=TIMM.licence,
    citation=TIMM.citation,
    url=TIMM.url,
    extra="timm",
    options=NETWORK_OPTIONS,
)


def load(
    device: str | torch.device = "cpu",
    weights: str | None = None,
    untrained: bool = False,
    **options: Any,
) -> MMSEDenoiser:
    from snips_plugins.timm.denoiser import load_timm

    return load_timm(weights, device, untrained, options)


def trainable(**options: Any) -> Trainable:
    from snips_plugins.timm.denoiser import timm_trainable

    return timm_trainable(**options)


@hookimpl
def register_denoisers(register: Register) -> None:
    register(TIMM, load)


@hookimpl
def register_trainables(register: Register) -> None:
    register(TRAINABLE, trainable)
