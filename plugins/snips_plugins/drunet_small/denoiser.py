"""Weights of the small U-Net as MMSE denoisers, packaged or trained by the user."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from snips.errors import OptionError, WeightsError, did_you_mean
from snips.interfaces import NoiseLevels
from snips.training.trainable import Trainable
from snips.weights import State, as_state, lineage, load_into, network_from, read_metadata, read_weights
from snips_plugins.drunet_small import LEVELS
from snips_plugins.drunet_small.network import SmallDRUNet
from snips_plugins.drunet_small.widen import widen
from snips_plugins.networks import NetworkDenoiser

HERE = Path(__file__).parent

CHANNELS = {"gray": (1,), "colour": (3,), "both": (1, 3)}


def load_drunet_small(weights: str, device: str | torch.device) -> NetworkDenoiser:
    """The denoiser of packaged weights by name, or of a file.

    Raises WeightsError if the file cannot be read, is of another network, or does not say which σ it is trained for.
    """
    path = file_of(weights)
    state = as_state(read_weights(path), str(path))
    low, _, high = read_metadata(path).get("sigma", "").partition(" ")
    try:
        levels = NoiseLevels(float(low), float(high))
    except ValueError:
        raise WeightsError(f"{path}: does not say which σ it is trained for; give a file of `snips train`") from None
    channels, widths, blocks = layout(state, str(path))
    floats = {name: tensor.float() for name, tensor in state.items()}
    network = network_from(lambda: SmallDRUNet(channels, widths, blocks), floats, str(path))
    return NetworkDenoiser(network.to(device), "clean", levels, channels, network.multiple)


def file_of(weights: str) -> Path:
    """Of packaged weights by name, or the path itself. Raises WeightsError for a name that is nearly a packaged one."""
    names = [path.stem for path in HERE.glob("*.safetensors")]
    if weights in names:
        return HERE / f"{weights}.safetensors"
    hint = did_you_mean(weights, names)
    if hint and not Path(weights).exists():
        raise WeightsError(f"{weights}: no packaged weights and no file; {hint}")
    return Path(weights)


def layout(state: State, what: str) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Channels, widths and blocks, from names and shapes. Raises WeightsError if it is not this network."""
    channels = tuple(sorted(int(name.split(".")[1]) for name in state if re.fullmatch(r"heads\.\d+\.weight", name)))
    firsts = [re.fullmatch(r"encoder\.(\d+)\.blocks\.0\.conv1\.weight", name) for name in state]
    scales = sorted(int(found[1]) for found in firsts if found)
    blocks = sum(bool(re.fullmatch(r"encoder\.0\.blocks\.\d+\.conv1\.weight", name)) for name in state)
    if not (channels and blocks) or scales != list(range(len(scales))):
        raise WeightsError(f"{what}: not the weights of drunet-small; it has {', '.join(list(state)[:3])}")
    widths = tuple(state[f"encoder.{i}.blocks.0.conv1.weight"].shape[0] for i in scales)
    return channels, widths, blocks


def drunet_small_trainable(
    channels: str = "both", widths: str = "64,96,128,192", blocks: int = 2, weights: str | None = None
) -> Trainable:
    """A network to train, fresh or from weights as wide or narrower. Raises OptionError, and WeightsError."""
    try:
        features = [int(width) for width in widths.split(",")]
    except ValueError:
        features = []
    if not features or min(features) < 1 or blocks < 1:
        raise OptionError(f"drunet-small: widths={widths} blocks={blocks}; say widths=64,96,128,192 and blocks=2, say")
    network = SmallDRUNet(CHANNELS[channels], features, blocks)
    metadata = {}
    if weights is not None:
        path = file_of(weights)
        state = {name: tensor.float() for name, tensor in as_state(read_weights(path), weights).items()}
        load_into(network, widen(state, network), weights)
        metadata = lineage(path)
    return Trainable(network, "clean", CHANNELS[channels], LEVELS, network.multiple, metadata=metadata)
