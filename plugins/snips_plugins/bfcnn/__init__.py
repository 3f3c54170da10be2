"""Blind bias-free CNNs of the Simoncelli group: BF-CNN and the bias-free U-Net."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snips.cards import DenoiserCard, Option
from snips.hookspecs import Register, hookimpl
from snips.interfaces import NoiseLevels

if TYPE_CHECKING:
    import torch

    from snips.interfaces import MMSEDenoiser

BFCNN = DenoiserCard(
    name="bfcnn",
    summary="blind CNN without biases, whose answer scales with its input; also the bias-free U-Net",
    licence="MIT",
    citation="Mohan, Kadkhodaie, Simoncelli, Fernandez-Granda: Robust and Interpretable Blind Image Denoising via "
    "Bias-Free Convolutional Neural Networks, ICLR 2020",
    url="https://github.com/LabForComputationalVision/bias_free_denoising",
    noise_levels=NoiseLevels(0.0, 100 / 255, blind=True),
    channels=(1, 3),
    options=(
        Option("weights", str, None, "the checkpoint; gray or colour is seen from it"),
        Option("sigma_max", float, None, "largest σ it was trained for; default: what its layout was published for"),
    ),
)


def load(
    device: str | torch.device = "cpu", weights: str | None = None, sigma_max: float | None = None
) -> MMSEDenoiser:
    from snips_plugins.bfcnn.denoiser import load_bfcnn

    return load_bfcnn(weights, device, sigma_max)


@hookimpl
def register_denoisers(register: Register) -> None:
    register(BFCNN, load)
