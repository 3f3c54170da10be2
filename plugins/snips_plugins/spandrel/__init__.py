"""Denoisers among the restoration networks that the library spandrel reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snips.cards import DenoiserCard, Option
from snips.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    import torch

    from snips.interfaces import MMSEDenoiser

SPANDREL = DenoiserCard(
    name="spandrel",
    summary="DnCNN, FDnCNN, DRUNet, SCUNet, SwinIR, NAFNet, KBNet and GRL checkpoints of white noise, by spandrel",
    licence="MIT (spandrel); that of weights is their own",
    url="https://github.com/chaiNNer-org/spandrel",
    channels=(1, 3),
    extra="spandrel",
    options=(
        Option("weights", str, None, "the checkpoint; which network it is, gray or colour, is seen from it"),
        Option(
            "sigma", str, None, "the σ it is trained for: 25/255, or 0..50/255; needed where the network does not tell"
        ),
    ),
)


def load(device: str | torch.device = "cpu", weights: str | None = None, sigma: str | None = None) -> MMSEDenoiser:
    from snips_plugins.spandrel.denoiser import load_spandrel

    return load_spandrel(weights, device, sigma)


@hookimpl
def register_denoisers(register: Register) -> None:
    register(SPANDREL, load)
