"""Trained networks with a backbone of timm, from files that say what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from snips.errors import MissingWeights, OptionError, UnknownName, WeightsError
from snips.interfaces import NoiseLevels
from snips.training.trainable import Trainable
from snips.weights import as_state, load_into, read_metadata, read_weights
from snips_plugins.networks import NetworkDenoiser
from snips_plugins.timm import BACKBONE, LEVELS
from snips_plugins.timm.network import TimmUNet, build


def load_timm(
    weights: str | None, device: str | torch.device, untrained: bool = False, options: Mapping[str, Any] | None = None
) -> NetworkDenoiser:
    """The denoiser of a file, or one that is not trained.

    Raises MissingWeights if there is neither, WeightsError for a file that cannot be used, OptionError for options that
    are not those of the file, and as `build`.
    """
    options = dict(options or {})
    if weights is None and not untrained:
        asked = f" -n backbone={options['backbone']}" if "backbone" in options else ""
        raise MissingWeights(
            f"timm has no weights: `snips train timm{asked} --images FOLDER --out OUT` trains some, then say "
            "weights=FILE (untrained=true takes a network that is not trained)"
        )
    # A network with no initial weights would lose what backbones keep beside them.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network, levels = from_file(weights, options) if weights else (build(**options), LEVELS)
    return NetworkDenoiser(network.to(device), "clean", levels, (network.channels,), network.multiple)


def from_file(path: str, options: Mapping[str, Any]) -> tuple[TimmUNet, NoiseLevels]:
    """The network and its noise levels, as the file's metadata say."""
    state, said = as_state(read_weights(path), path), read_metadata(path)
    if "backbone" not in said:
        raise WeightsError(f"{path}: does not say which backbone it is for; only files of `snips train timm` do")
    try:
        made: dict[str, Any] = {
            "backbone": said["backbone"],
            "channels": said["channels"],
            "width": int(said["width"]),
        }
        low, high = (float(sigma) for sigma in said["sigma"].split())
        levels = NoiseLevels(low, high)
        network = build(**made)
    except (KeyError, ValueError, UnknownName) as error:
        raise WeightsError(f"{path}: its metadata cannot be used ({error}); train anew") from error
    other = {name: value for name, value in options.items() if name in made and value != made[name]}
    if other:
        name, value = next(iter(other.items()))
        raise OptionError(f"timm's {name}={value}: {path} is for {name}={made[name]}")
    load_into(network, state, path)
    return network, levels


def timm_trainable(
    backbone: str = BACKBONE, channels: str = "colour", width: int = 32, pretrained: bool = False
) -> Trainable:
    """A network to train. Raises as `build`."""
    network = build(channels, backbone, width, pretrained)
    said = {"backbone": backbone, "channels": channels, "width": str(width)}
    return Trainable(network, "clean", (network.channels,), LEVELS, network.multiple, metadata=said)
