"""NCSNv2 checkpoints as MMSE denoisers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from snips.errors import OptionError, WeightsError
from snips.interfaces import NoiseLevels
from snips.training.trainable import Trainable
from snips.weights import State, as_state, lineage, load_into, network_from, read_metadata, read_weights, strip_prefix
from snips_plugins.ncsnv2.network import NCSNv2
from snips_plugins.networks import NetworkDenoiser

PACKAGED = Path(__file__).with_name("weights.safetensors")


def ncsnv2_denoiser(network: NCSNv2, noise_levels: NoiseLevels) -> NetworkDenoiser:
    """D(x, σ) = x + σ² s(x, σ), s the network's score; pictures are reflected up to the size that it needs."""
    channels = (network.begin_conv.in_channels,)
    least = 2 * network.multiple  # at its coarsest scale a picture of one pixel has no variance to normalise by
    return NetworkDenoiser(network, "score", noise_levels, channels, network.multiple, least)


def load_ncsnv2(path: str | Path, device: str | torch.device) -> NetworkDenoiser:
    """The denoiser of a checkpoint: an official one, a state dict, or ours in safetensors.

    Raises WeightsError if the file cannot be read, is of another network, or does not say which σ it is trained for.
    """
    state = merged_state(read_weights(path), str(path))
    layout, channels, ngf = recognise(state, str(path))
    levels = noise_levels(state, read_metadata(path), str(path))
    state = {name: tensor.float() for name, tensor in state.items()}
    sigmas = state.setdefault("sigmas", torch.zeros(1))
    network = network_from(lambda: NCSNv2(layout, channels, ngf, len(sigmas)), state, str(path))
    return ncsnv2_denoiser(network.to(device), levels)


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
    """The "low high" under `sigma` in the metadata of ours, or the official buffer `sigmas`."""
    official = state["sigmas"].tolist() if "sigmas" in state else []
    written = metadata["sigma"].split() if "sigma" in metadata else official
    try:
        sigmas = [float(sigma) for sigma in written]
    except ValueError:
        sigmas = []
    if not sigmas or not 0 < min(sigmas) <= max(sigmas) < float("inf"):
        raise WeightsError(f"{what}: does not say which σ it is trained for; keep the tensor sigmas in the file")
    return NoiseLevels(min(sigmas), max(sigmas))


def ncsnv2_trainable(
    layout: str = "NCSNv2", ngf: int = 24, channels: str = "colour", weights: str | None = None
) -> Trainable:
    """A network to train. Raises OptionError for a width that cannot be, WeightsError for weights that do not fit."""
    if ngf < 1:
        raise OptionError(f"ncsnv2: ngf={ngf}; it is the number of features, 24 or 128, say")
    count = {"gray": 1, "colour": 3}[channels]
    network = NCSNv2(layout, count, ngf, levels=1)
    metadata = {}
    if weights is not None:
        path = PACKAGED if weights == "packaged" else Path(weights)
        state = merged_state(read_weights(path), weights)
        floats = {name: tensor.float() for name, tensor in state.items() if name != "sigmas"}
        load_into(network, {"sigmas": torch.zeros(1), **floats}, weights)
        metadata = lineage(path)
    multiple = 2 * network.multiple
    return Trainable(
        network, "score", (count,), NoiseLevels(0.01, 1.0), multiple, score_matching=True, metadata=metadata
    )
