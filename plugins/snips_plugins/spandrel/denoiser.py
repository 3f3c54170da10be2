"""spandrel's networks as MMSE denoisers.

Its descriptors are for people who want a picture restored: they clip to [0, 1], and call FDnCNN and DRUNet at a σ of
15/255 whatever the noise. Here the network below is called instead, with the σ of each row.
"""

from __future__ import annotations

from typing import Any

import torch
from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError
from torch import Tensor, nn

from snips.cards import number
from snips.errors import MissingWeights, OptionError, WeightsError
from snips.interfaces import NoiseLevels
from snips.weights import as_state, check_finite, read_weights, strip_prefix
from snips_plugins.networks import NetworkDenoiser

TOLD = {"DRUNet": NoiseLevels(0.0, 50 / 255), "FDnCNN": NoiseLevels(0.0, 75 / 255)}
"""Networks that are told σ, in a last channel, and what the official ones are trained for."""

BLIND = {"DnCNN 20nb": NoiseLevels(0.0, 55 / 255, blind=True)}
"""Networks that find σ themselves."""

SILENT = ("DnCNN", "SCUNet", "SwinIR", "NAFNet", "KBNet", "GRL")
"""Networks that are not told σ, and do not tell which they are for."""


class WithLevel(nn.Module):
    """A network that takes σ as one more channel, or not at all, called with x (B, C, H, W) and σ (B,)."""

    def __init__(self, network: nn.Module, told: bool) -> None:
        super().__init__()
        self.network, self.told = network, told

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        if self.told:
            x = torch.cat([x, sigma[:, None, None, None].expand(-1, 1, *x.shape[2:])], 1)
        clean: Tensor = self.network(x)
        return clean


def load_spandrel(weights: str | None, device: str | torch.device, sigma: str | None = None) -> NetworkDenoiser:
    """The denoiser that a checkpoint holds.

    Raises MissingWeights if none is given, WeightsError if spandrel cannot read it or it is no denoiser of white noise,
    OptionError where sigma is needed or is no noise level.
    """
    if not weights:
        raise MissingWeights("spandrel comes without weights: say weights=FILE, a checkpoint of a denoising network")
    model = described(weights)
    name = network_name(model, weights)
    told = name in TOLD
    levels = levels_of(name, model, weights) if sigma is None else levels_from(sigma, blind=not told)
    size, channels = model.size_requirements, model.output_channels
    network, least = WithLevel(model.model, told).to(device), max(size.minimum, 1)
    return NetworkDenoiser(network, "clean", levels, (channels,), size.multiple_of, least, padding="replicate")


def described(path: str) -> ImageModelDescriptor[nn.Module]:
    """What spandrel makes of the file, which is read by `read_weights`. Raises WeightsError."""
    state = strip_prefix(as_state(read_weights(path), path))
    check_finite(state, path)
    try:
        with torch.random.fork_rng(devices=[]):  # it draws initial weights first
            model: Any = ModelLoader("cpu").load_from_state_dict(state)
    except UnsupportedModelError as error:
        some = ", ".join(list(state)[:3])
        raise WeightsError(f"{path}: no network that spandrel knows; it has {some}") from error
    except Exception as error:  # it takes the file for a network whose tensors it does not have
        raise WeightsError(f"{path}: spandrel cannot read it ({' '.join(str(error).split())[:150]})") from error
    if not isinstance(model, ImageModelDescriptor) or model.scale != 1:
        what = f"enlarges {model.scale} times" if model.scale != 1 else "fills holes"
        raise WeightsError(f"{path}: {model.architecture.name}, which {what}: no denoiser")
    return model


def network_name(model: ImageModelDescriptor[nn.Module], path: str) -> str:
    """DRUNet, FDnCNN or one of SILENT. Raises WeightsError for networks that are no denoisers, or are misread."""
    name = "FDnCNN" if "FDnCNN" in model.tags else str(model.architecture.id)
    if name == "FDnCNN" and model.output_channels % 4 == 0:
        raise WeightsError(f"{path}: FFDNet, which spandrel takes for FDnCNN; `--denoiser ffdnet` reads it")
    if name not in (*TOLD, *SILENT):
        raise WeightsError(f"{path}: {name}, no denoiser of white noise; those are {', '.join((*TOLD, *SILENT))}")
    if model.input_channels != model.output_channels or model.output_channels not in (1, 3):
        counts = f"{model.input_channels} channels to {model.output_channels}"
        raise WeightsError(f"{path}: {name} from {counts}; pictures have 1 or 3")
    return name


def levels_of(name: str, model: ImageModelDescriptor[nn.Module], path: str) -> NoiseLevels:
    """Those of the official network. Raises OptionError if there are several, and the file does not tell."""
    known = TOLD | {key: levels for key, levels in BLIND.items() if key.split()[1] in model.tags}
    for key, levels in known.items():
        if key.split()[0] == name:
            return levels
    raise OptionError(f"{path}: for which σ is this {name}? Say so: sigma=25/255, or sigma=0..50/255 if it is blind")


def levels_from(text: str, blind: bool) -> NoiseLevels:
    """25/255: this level only; 0..50/255: a range. Raises OptionError."""
    low, dots, high = text.partition("..")
    try:
        first, last = number(low), number(high if dots else low)
    except (ValueError, ZeroDivisionError):
        raise OptionError(f"spandrel's sigma={text}: neither 25/255 nor a range such as 0..50/255") from None
    if not 0 <= first <= last < 1e3 or last == 0:
        raise OptionError(f"spandrel's sigma={text}: noise levels are positive, the smaller one first")
    return NoiseLevels(first, last, only=() if dots else (first,), blind=blind and bool(dots))
