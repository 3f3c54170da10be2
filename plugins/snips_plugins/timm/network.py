"""A U-Net whose encoder is a backbone of timm, told σ, and preconditioned as in Karras et al. 2022."""

from __future__ import annotations

import math
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snips.errors import InvalidValue, MissingWeights, UnknownName, did_you_mean
from snips_plugins.layers import Conv2d
from snips_plugins.timm import BACKBONE

SIGMA_DATA = 0.25
"""About the standard deviation of pixels of photographs in [0, 1]."""

EMBEDDING = 64

SIZES: tuple[dict[str, Any], ...] = ({}, {"dynamic_img_size": True})
"""What transformers of timm need to be told to take pictures of any size."""


CHANNELS = {"gray": 1, "colour": 3}


def build(channels: str = "colour", backbone: str = BACKBONE, width: int = 32, pretrained: bool = False) -> TimmUNet:
    """A fresh network, to be trained: the clean picture from x (B, 1 or 3, H, W) before noise, and σ (B,).

    H and W must be multiples of its `multiple`. Initial weights come from torch's global random numbers; the untrained
    network is the best affine denoiser of each pixel.

    Raises InvalidValue for channels other than "gray" or "colour", for a width below 1 and for a backbone that cannot
    be an encoder, UnknownName, and MissingWeights if those of a pretrained backbone cannot be had.
    """
    if channels not in CHANNELS:
        raise InvalidValue(f"timm: channels are gray or colour, not {channels}")
    if width < 1:
        raise InvalidValue(f"timm: width must be at least 1, not {width}")
    count = CHANNELS[channels]
    return TimmUNet(encoder(backbone, count + 1, pretrained), count, width)


def encoder(backbone: str, channels: int, pretrained: bool) -> nn.Module:
    """timm's backbone, as a function from (B, channels, H, W) to features of several sizes. Raises as `build`."""
    if not timm.is_model(backbone):
        hint = did_you_mean(backbone, timm.list_models()) or "`timm.list_models()` has them"
        raise UnknownName(f"timm has no backbone {backbone}; {hint}")
    reasons = []
    for size in SIZES:
        try:
            made: nn.Module = timm.create_model(backbone, features_only=True, in_chans=channels, **size)
            takes_any_size(made, channels)
        except Exception as error:  # each of timm's families refuses in its own way
            reasons.append((str(error).splitlines() or [type(error).__name__])[0])
            continue
        return with_own_weights(made, backbone, channels, size) if pretrained else made
    raise InvalidValue(f"timm: {backbone} cannot encode pictures of any size ({reasons[0]}); choose another backbone")


def takes_any_size(made: nn.Module, channels: int) -> None:
    """Raises whatever the backbone raises on pictures that are not its own size, ValueError for odd reductions."""
    reductions: list[int] = made.feature_info.reduction()  # type: ignore[operator,union-attr]
    if any(r & (r - 1) for r in reductions):
        raise ValueError(f"its features are at 1/{', 1/'.join(map(str, reductions))}, not powers of two")
    multiple = max(reductions)
    was_training = made.training
    made.eval()
    with torch.inference_mode():
        made(torch.zeros(1, channels, multiple, 3 * multiple))
    made.train(was_training)


def with_own_weights(made: nn.Module, backbone: str, channels: int, size: dict[str, Any]) -> nn.Module:
    """The same backbone with the weights that timm has for it. Raises MissingWeights."""
    try:
        trained: nn.Module = timm.create_model(backbone, pretrained=True, features_only=True, in_chans=channels, **size)
    except Exception as error:  # no network, no such file, no weights at all: as the hub's client puts it
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MissingWeights(
            f"timm: the pretrained weights of {backbone} cannot be fetched ({reason}); "
            "train from the start with pretrained=false, or where there is a network"
        ) from error
    return trained.train(made.training)


class Block(nn.Module):
    """h plus two convolutions with σ's scale and shift of the features between them (FiLM)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(channels, channels, 3, padding=1)
        self.conv2 = Conv2d(channels, channels, 3, padding=1)
        self.film = nn.Linear(EMBEDDING, 2 * channels)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        scale, shift = self.film(e)[:, :, None, None].chunk(2, 1)
        out: Tensor = h + self.conv2(F.silu((1 + scale) * self.conv1(h) + shift))
        return out


class TimmUNet(nn.Module):
    """The denoiser D(x, σ) itself.

    The backbone sees the picture and, in one more channel, log σ. Its last feature of each size, from a quarter of the
    picture's on, goes into the decoder at that size; half the size, where most backbones have nothing yet, has a block
    of its own on both sides.

    encoder: of timm, for channels + 1 channels. Forward: x (B, channels, H, W), clean range [0, 1], H and W multiples
    of `multiple`; sigma (B,). Returns the clean picture.
    """

    def __init__(self, encoder: nn.Module, channels: int, width: int) -> None:
        super().__init__()
        info = encoder.feature_info
        counts, reductions = info.channels(), info.reduction()  # type: ignore[operator,union-attr]
        self.channels, self.width = channels, width
        self.nhwc = str(getattr(encoder, "output_fmt", "NCHW")).endswith("NHWC")
        self.chosen = {r: i for i, r in enumerate(reductions) if r > 2}
        """The index of the last feature at 1/r of the picture's size, by r."""
        self.multiple = max(2, *reductions)
        sizes = [2**k for k in range(1, self.multiple.bit_length())]
        widths = {r: width * min(r // 2, 4) for r in sizes}
        self.encoder = encoder
        self.embed = nn.Sequential(nn.Linear(1, EMBEDDING), nn.SiLU(), nn.Linear(EMBEDDING, EMBEDDING), nn.SiLU())
        self.head = Conv2d(4 * (channels + 1), width, 3, padding=1)
        self.fine = Block(width)
        self.lateral = nn.ModuleDict({str(r): Conv2d(counts[i], widths[r], 1) for r, i in self.chosen.items()})
        self.up = nn.ModuleDict({str(r): Conv2d(widths[2 * r], 4 * widths[r], 1) for r in sizes[:-1]})
        self.blocks = nn.ModuleDict({str(r): Block(widths[r]) for r in sizes})
        self.tail = Conv2d(width, 4 * channels, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """D = c_skip x + c_out F(c_in x, log σ / 4), on pictures centred at ½ (Karras et al. 2022, Eq. 7, Table 1)."""
        total = (sigma.square() + SIGMA_DATA**2)[:, None, None, None]
        skip, out = SIGMA_DATA**2 / total, sigma[:, None, None, None] * SIGMA_DATA / total.sqrt()
        centred = x - 0.5
        return 0.5 + skip * centred + out * self.features(centred / total.sqrt(), sigma.log() / 4)

    def features(self, x: Tensor, level: Tensor) -> Tensor:
        """F: the U-Net, on x of variance about 1 and the level (B,)."""
        e = self.embed(level[:, None])
        told = torch.cat([x, level[:, None, None, None].expand(-1, 1, *x.shape[2:])], 1)
        fine = self.fine(self.head(F.pixel_unshuffle(told, 2)), e)
        found = self.encoder(told)
        h = None
        for r in reversed([int(size) for size in self.blocks]):
            parts = [] if h is None else [F.pixel_shuffle(self.up[str(r)](h), 2)]
            if r in self.chosen:
                feature = found[self.chosen[r]]
                parts.append(self.lateral[str(r)](feature.movedim(-1, 1) if self.nhwc else feature))
            elif r == 2:
                parts.append(fine)
            h = self.blocks[str(r)](sum(parts) / math.sqrt(len(parts)), e)
        return F.pixel_shuffle(self.tail(h), 2)
