"""Networks as MMSE denoisers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from snips.interfaces import NoiseLevels
from snips_plugins.padding import on_multiples


@dataclass(frozen=True, eq=False)
class NetworkDenoiser:
    """A network, called with x (B, C, H, W) in [0, 1] before noise and σ (B,), as an MMSE denoiser.

    Pictures may have any size: they are padded to what the network needs. The network computes in its own dtype,
    whatever that of x, and in channels-last order, in which a row's answer does not depend on the batch (and which is
    the faster one: `snips bench speed --way float32 --way contiguous`).
    """

    network: nn.Module
    answer: Literal["clean", "noise", "score"]
    """What it returns: the clean picture, x minus that, or ∇ log p_σ(x)."""
    noise_levels: NoiseLevels
    channels: tuple[int, ...]
    multiple: int = 1
    """Height and width that it needs are multiples of this, from `least` on."""
    least: int = 1
    padding: Literal["replicate", "reflect"] = "reflect"
    """How pictures are padded. Replicated noise is stripes, which a network takes for what is in the picture;
    the official code of FFDNet and DRUNet replicates all the same."""
    memory_format: torch.memory_format = torch.channels_last

    def __post_init__(self) -> None:
        self.network.to(memory_format=self.memory_format).eval().requires_grad_(False)

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """E[x₀ | x] of each row: x (B, C, H, W) with clean range [0, 1], sigma (B,) in the same units."""
        dtype = next(self.network.parameters()).dtype
        rows = x.to(dtype, memory_format=self.memory_format)
        σ = sigma.to(dtype)
        answer = on_multiples(lambda h: self.network(h, σ), rows, self.multiple, self.padding, self.least).to(x.dtype)
        if self.answer == "clean":
            return answer
        if self.answer == "noise":
            return x - answer
        return x + sigma.square()[:, None, None, None] * answer


class Bank(nn.Module):
    """One network for each of several noise levels, which a row's σ chooses. Reads σ on the host.

    choose: from σ to the index of the network.
    """

    def __init__(self, networks: Sequence[nn.Module], choose: Callable[[float], int]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.choose = choose

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        chosen = [self.choose(σ) for σ in sigma.tolist()]
        answer = torch.empty_like(x)
        for index in set(chosen):
            rows = [row for row, choice in enumerate(chosen) if choice == index]
            answer[rows] = self.networks[index](x[rows], sigma[rows])
        return answer
