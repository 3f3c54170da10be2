"""Any backbone of timm as the encoder of a denoiser, to be trained by `snips train timm`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snips.cards import DenoiserCard, Option
from snips.hookspecs import Register, hookimpl
from snips.interfaces import NoiseLevels

if TYPE_CHECKING:
    import torch

    from snips.interfaces import MMSEDenoiser

BACKBONE = "convnext_atto"
LEVELS = NoiseLevels(0.01, 1.0)

NETWORK_OPTIONS = (
    Option("backbone", str, BACKBONE, "any that timm can take features from: `timm.list_models('*')`"),
    Option("channels", int, 3, "of the pictures: 3 or 1"),
    Option("width", int, 32, "features of the decoder at half the picture's size; coarser ones have up to 4 times it"),
)
"""What a fresh network is made of."""

PRETRAINED = Option("pretrained", bool, False, "start the backbone from timm's own weights, fetched from its hub")

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
        PRETRAINED,
    ),
)


def load(
    device: str | torch.device = "cpu",
    weights: str | None = None,
    untrained: bool = False,
    **options: object,
) -> MMSEDenoiser:
    from snips_plugins.timm.denoiser import load_timm

    return load_timm(weights, device, untrained, options)


@hookimpl
def register_denoisers(register: Register) -> None:
    register(TIMM, load)
