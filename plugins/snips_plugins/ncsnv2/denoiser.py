"""NCSNv2 checkpoints as MMSE denoisers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snips.errors import WeightsError
from snips.interfaces import NoiseLevels
from snips.weights import State, as_state, network_from, read_metadata, read_weights, strip_prefix
from snips_plugins.ncsnv2.network import NCSNv2
from snips_plugins.padding import on_multiples

PACKAGED = Path(__file__).with_name("weights.safetensors")


class NCSNv2Denoiser:
    """D(x, σ) = x + σ² s(x, σ) by Tweedie's formula, s the network's score.

    Pictures of any size: they are reflected up to a multiple of what the network needs. The network computes in its own
    dtype, whatever that of x.

    network: its parameters are put in channels-last order; so each row's answer is the same, bit for bit, whatever the
    batch (on the CPU, where channels-first order would change the summation with the batch). noise_levels: its σ.
    weights: the files it came from.
    """

    def __init__(self, network: NCSNv2, noise_levels: NoiseLevels, weights: tuple[Path, ...] = ()) -> None:
        self.network = network.to(memory_format=torch.channels_last)
        self.noise_levels = noise_levels
        self.weights = weights

    @property
    def device(self) -> torch.device:
        return self.network.begin_conv.weight.device

    @property
    def channels(self) -> tuple[int, ...]:
        return (self.network.begin_conv.in_channels,)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """E[x₀ | x] of each row: x (B, C, H, W) with clean range [0, 1], sigma (B,) in the same units."""
        dtype = self.network.begin_conv.weight.dtype
        rows = x.to(dtype, memory_format=torch.channels_last)
        score = on_multiples(
            lambda padded: self.network(padded, sigma.to(dtype)),
            rows,
            self.network.multiple,
            "reflect",
            least=2 * self.network.multiple,  # a picture of one pixel has no variance to normalise by
        )
        return x + sigma.square()[:, None, None, None] * score.to(x.dtype)


def load_ncsnv2(path: str | Path, device: str | torch.device) -> NCSNv2Denoiser:
    """The denoiser of a checkpoint: an official one, a state dict, or ours in safetensors.

    Raises WeightsError if the file cannot be read, is of another network, or does not say which σ it is trained for.
    """
    state = merged_state(read_weights(path), str(path))
    layout, channels, ngf = recognise(state, str(path))
    levels = noise_levels(state, read_metadata(path), str(path))
    sigmas = state.setdefault("sigmas", torch.zeros(1))
    network = network_from(lambda: NCSNv2(layout, channels, ngf, len(sigmas)), state, str(path))
    return NCSNv2Denoiser(network.to(device), levels, (Path(path),))


def merged_state(data: Any, what: str) -> State:
    """The tensors by name, EMA where there is one.

    Official checkpoints are a list [model, optimizer, epoch, step, ema]: the model with the prefix `module.` and the
    buffer `sigmas`, the EMA with neither.
    """
    if not isinstance(data, list):
        return strip_prefix(as_state(data, what))
    if not data:
        raise WeightsError(f"{what}: an empty list, not an NCSNv2 checkpoint [model, optimizer, epoch, step, ema]")
    ema = as_state(data[4], what) if len(data) > 4 else {}
    return strip_prefix(as_state(data[0], what)) | strip_prefix(ema)


def recognise(state: State, what: str) -> tuple[str, int, int]:
    """Layout, number of channels, and ngf, from names and shapes. Raises WeightsError if it is no NCSNv2."""
    first = state.get("begin_conv.weight")
    if first is None or first.ndim != 4:
        raise WeightsError(f"{what}: not the weights of an NCSNv2, which has a 4-d begin_conv.weight")
    deepest, deeper = (any(name.startswith(f"{block}.") for name in state) for block in ("res31", "res5"))
    layout = "NCSNv2Deepest" if deepest else "NCSNv2Deeper" if deeper else "NCSNv2"
    return layout, first.shape[1], first.shape[0]


def noise_levels(state: State, metadata: dict[str, str], what: str) -> NoiseLevels:
    """From the official buffer `sigmas`, or the "low high" under `sigma` in the metadata of ours."""
    written = state["sigmas"].tolist() if "sigmas" in state else metadata.get("sigma", "").split()
    try:
        sigmas = [float(sigma) for sigma in written]
    except ValueError:
        sigmas = []
    if not sigmas or not 0 < min(sigmas) <= max(sigmas) < float("inf"):
        raise WeightsError(f"{what}: does not say which σ it is trained for; keep the tensor sigmas in the file")
    return NoiseLevels(min(sigmas), max(sigmas))
