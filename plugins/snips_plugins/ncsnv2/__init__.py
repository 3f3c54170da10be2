"""NCSNv2: the score networks of the paper's experiments, and one of ours, trained from scratch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snips.cards import DenoiserCard, Option
from snips.hookspecs import Register, hookimpl
from snips.interfaces import NoiseLevels

if TYPE_CHECKING:
    import torch

    from snips.interfaces import MMSEDenoiser

NCSNV2 = DenoiserCard(
    name="ncsnv2",
    summary="a score network for colour pictures of any size; also reads the official NCSNv2 checkpoints",
    licence="MIT",
    citation="Song, Ermon: Improved Techniques for Training Score-Based Generative Models, NeurIPS 2020",
    url="https://arxiv.org/abs/2006.09011",
    noise_levels=NoiseLevels(0.01, 1.0),
    channels=(3,),
    options=(
        Option("weights", str, None, "an NCSNv2 checkpoint, official or of our training; default: the packaged one"),
    ),
)


def load(device: str | torch.device = "cpu", weights: str | None = None) -> MMSEDenoiser:
    from snips_plugins.ncsnv2.denoiser import PACKAGED, load_ncsnv2

    return load_ncsnv2(weights or PACKAGED, device)


@hookimpl
def register_denoisers(register: Register) -> None:
    register(NCSNV2, load)
