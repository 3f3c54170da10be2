"""NCSNv2: the score networks of the paper's experiments, and one of ours, trained from scratch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snips.cards import DenoiserCard, Option, TrainableCard
from snips.hookspecs import Register, hookimpl
from snips.interfaces import NoiseLevels

if TYPE_CHECKING:
    import torch

    from snips.interfaces import MMSEDenoiser
    from snips.training.trainable import Trainable

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


TRAINABLE = TrainableCard(
    name="ncsnv2",
    summary="the score network of the paper's experiments, by denoising score matching",
    licence="MIT",
    citation=NCSNV2.citation,
    options=(
        Option("layout", str, "NCSNv2", "depth", ("NCSNv2", "NCSNv2Deeper", "NCSNv2Deepest")),
        Option("ngf", int, 24, "features at the finest scale; the official networks have 128"),
        Option("channels", str, "colour", "of the pictures", ("gray", "colour")),
        Option("weights", str, None, "start from these weights, or from the packaged ones, instead of fresh ones"),
    ),
)


def load(device: str | torch.device = "cpu", weights: str | None = None) -> MMSEDenoiser:
    from snips_plugins.ncsnv2.denoiser import PACKAGED, load_ncsnv2

    return load_ncsnv2(weights or PACKAGED, device)


def trainable(**options: Any) -> Trainable:
    from snips_plugins.ncsnv2.denoiser import ncsnv2_trainable

    return ncsnv2_trainable(**options)


@hookimpl
def register_denoisers(register: Register) -> None:
    register(NCSNV2, load)


@hookimpl
def register_trainables(register: Register) -> None:
    register(TRAINABLE, trainable)
