"""What can be trained: a network, and what its answer means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from snips.interfaces import NoiseLevels

Answer = Literal["clean", "noise", "score"]

TYPICAL = 0.011
"""Good denoisers leave an MSE near TYPICAL σ on photographs where σ is well above it, and near σ² below (measured)."""


@dataclass(frozen=True, eq=False)
class Trainable:
    """A fresh network, as a plugin builds it for `snips train`.

    The trainer saves the network's tensors and `metadata` in a safetensors file that the plugin's denoiser takes as
    `-d weights=FILE`.
    """

    network: nn.Module
    """Called with x (B, C, H, W) in [0, 1] before noise, and σ (B,)."""
    answer: Answer
    """What it returns: the clean picture, the noise of x, or the score ∇ log p_σ(x)."""
    channels: tuple[int, ...]
    """Numbers of channels it learns: (3,) colour, (1,) gray, or both."""
    noise_levels: NoiseLevels
    """σ to train for, unless told otherwise."""
    multiple: int = 1
    """Sides of crops must be multiples of this."""
    score_matching: bool = False
    """Weight the squared error by 1/σ² (denoising score matching), not by the inverse of a good denoiser's error."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What the plugin needs to build the network again."""


def error_of_clean(answer: Answer, output: Tensor, x: Tensor, sigma: Tensor, clean: Tensor) -> Tensor:
    """D(x, σ) − x₀ (B, C, H, W), given what the network returned."""
    if answer == "clean":
        return output - clean
    if answer == "noise":
        return x - output - clean
    return x + sigma.square()[:, None, None, None] * output - clean


def weight(sigma: Tensor, score_matching: bool) -> Tensor:
    """λ(σ) (B,) of the loss λ ‖D − x₀‖².

    1/σ² is denoising score matching as NCSNv2 has it (Song and Ermon 2020, Eq. 2); otherwise the inverse of the error
    that good denoisers have, so that every σ counts about 1, as preconditioning does (Karras et al. 2022, Section 5).
    """
    return 1 / sigma**2 if score_matching else 1 / sigma**2 + 1 / (TYPICAL * sigma)
