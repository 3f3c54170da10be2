"""The score networks of NCSNv2.

Song and Ermon, "Improved Techniques for Training Score-Based Generative Models", 2020.

A RefineNet whose input is the noisy picture alone: the network sees no σ, and its output is divided by σ to give the
score. Module and parameter names are those of the official checkpoints, so that these load as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snips_plugins.layers import Conv2d, elu


@dataclass(frozen=True)
class Stage:
    """Two residual blocks: `res{name}`, `width` × ngf channels, halving the picture or dilating instead."""

    name: str
    width: int
    down: bool = False
    dilation: int = 1


#: The three published depths, encoder stages from the finest to the coarsest.
LAYOUTS: dict[str, tuple[Stage, ...]] = {
    "NCSNv2": (
        Stage("1", 1),
        Stage("2", 2, down=True),
        Stage("3", 2, down=True, dilation=2),
        Stage("4", 2, down=True, dilation=4),
    ),
    "NCSNv2Deeper": (
        Stage("1", 1),
        Stage("2", 2, down=True),
        Stage("3", 2, down=True),
        Stage("4", 4, down=True, dilation=2),
        Stage("5", 4, down=True, dilation=4),
    ),
    "NCSNv2Deepest": (
        Stage("1", 1),
        Stage("2", 2, down=True),
        Stage("3", 2, down=True),
        Stage("31", 2, down=True),
        Stage("4", 4, down=True, dilation=2),
        Stage("5", 4, down=True, dilation=4),
    ),
}


def conv(cin: int, cout: int, size: int = 3, dilation: int = 1, bias: bool = True) -> Conv2d:
    return Conv2d(cin, cout, size, padding=dilation * (size // 2), dilation=dilation, bias=bias)


class InstanceNormPlus(nn.Module):
    """InstanceNorm++: γ·(IN(x) + α·m̂) + β, m̂ the channel means standardised across the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(1 + 0.02 * torch.randn(channels))
        self.gamma = nn.Parameter(1 + 0.02 * torch.randn(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((2, 3))
        spread = means.var(-1, keepdim=True)  # unbiased
        m = (means - means.mean(-1, keepdim=True)) / torch.sqrt(spread + 1e-5)
        shift = (self.gamma * self.alpha * m + self.beta)[:, :, None, None]
        return F.instance_norm(x) * self.gamma[:, None, None] + shift


class ConvMeanPool(nn.Module):
    """A convolution, then the mean of each 2×2 block."""

    def __init__(self, cin: int, cout: int, size: int) -> None:
        super().__init__()
        self.conv = conv(cin, cout, size)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(self.conv(x), 2)


class ResidualBlock(nn.Module):
    """Norm, ELU, convolution, twice; a down block halves the picture, a dilated down block does not."""

    def __init__(self, cin: int, cout: int, down: bool, dilation: int) -> None:
        super().__init__()
        middle = cin if down else cout
        self.normalize1 = InstanceNormPlus(cin)
        self.conv1 = conv(cin, middle, dilation=dilation)
        self.normalize2 = InstanceNormPlus(middle)
        halve = down and dilation == 1
        self.conv2: nn.Module = ConvMeanPool(middle, cout, 3) if halve else conv(middle, cout, dilation=dilation)
        if halve:
            self.shortcut: nn.Module = ConvMeanPool(cin, cout, 1)
        elif down or cin != cout:
            self.shortcut = conv(cin, cout, dilation=dilation)
        else:
            self.shortcut = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(elu(self.normalize1(x)))
        out: Tensor = self.conv2(elu(self.normalize2(h))) + self.shortcut(x)
        return out


class ResidualConvUnits(nn.Module):
    """RefineNet's RCU: `blocks` residual blocks of two bias-free convolutions."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.blocks = blocks
        for i in range(1, blocks + 1):
            for j in (1, 2):
                self.add_module(f"{i}_{j}_conv", conv(channels, channels, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        for i in range(1, self.blocks + 1):
            h = self.get_submodule(f"{i}_1_conv")(elu(x))
            x = x + self.get_submodule(f"{i}_2_conv")(elu(h))
        return x


class ChainedResidualPooling(nn.Module):
    """RefineNet's CRP: pooled and convolved copies of the features, summed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(conv(channels, channels, bias=False) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = path = elu(x)
        for convolve in self.convs:
            path = convolve(F.max_pool2d(path, 5, stride=1, padding=2))
            x = x + path
        return x


class MultiScaleFusion(nn.Module):
    """RefineNet's MSF: each input convolved, brought to one size, and summed."""

    def __init__(self, channels: Sequence[int], cout: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(conv(c, cout) for c in channels)

    def forward(self, xs: Sequence[Tensor], size: torch.Size) -> Tensor:
        hs = (convolve(x) for convolve, x in zip(self.convs, xs, strict=True))
        resized = [
            h if h.shape[2:] == size else F.interpolate(h, size=size, mode="bilinear", align_corners=True) for h in hs
        ]
        return torch.stack(resized).sum(0) if len(resized) > 2 else resized[0] + resized[1]


class RefineBlock(nn.Module):
    """One step of the decoder: the encoder's features, and those of the coarser step."""

    def __init__(self, channels: Sequence[int], cout: int, end: bool) -> None:
        super().__init__()
        self.adapt_convs = nn.ModuleList(ResidualConvUnits(c, 2) for c in channels)
        if len(channels) > 1:
            self.msf = MultiScaleFusion(channels, cout)
        self.crp = ChainedResidualPooling(cout)
        self.output_convs = ResidualConvUnits(cout, 3 if end else 1)

    def forward(self, *xs: Tensor) -> Tensor:
        hs = [adapt(x) for adapt, x in zip(self.adapt_convs, xs, strict=True)]
        h = self.msf(hs, xs[0].shape[2:]) if len(hs) > 1 else hs[0]
        out: Tensor = self.output_convs(self.crp(h))
        return out


class NCSNv2(nn.Module):
    """The network of one layout.

    Forward: x (B, C, H, W), clean range [0, 1], H and W multiples of `multiple`; sigma (B,). Returns the score, in
    units of 1/pixel, of x's shape.
    """

    def __init__(self, layout: str = "NCSNv2", channels: int = 3, ngf: int = 128, levels: int = 500) -> None:
        super().__init__()
        stages = LAYOUTS[layout]
        self.stages = stages
        self.multiple = 2 ** sum(s.down and s.dilation == 1 for s in stages)
        self.register_buffer("sigmas", torch.zeros(levels))
        self.begin_conv = conv(channels, ngf)
        self.normalizer = InstanceNormPlus(ngf)
        self.end_conv = conv(ngf, channels)
        widths = [ngf * s.width for s in stages]
        for before, width, stage in zip([ngf, *widths], widths, stages, strict=False):
            first = ResidualBlock(before, width, stage.down, stage.dilation)
            second = ResidualBlock(width, width, False, stage.dilation)
            self.add_module(f"res{stage.name}", nn.Sequential(first, second))
        self.refines = refine_names(stages)
        coarse = widths[-1]
        for position, name in enumerate(self.refines):
            width = widths[-1 - position]
            # A block hands on what the next, finer stage holds.
            finer = widths[max(len(widths) - 2 - position, 0)]
            inputs = [width] if position == 0 else [width, coarse]
            cout = width if position == 0 else finer
            self.add_module(name, RefineBlock(inputs, cout, end=position == len(stages) - 1))
            coarse = cout

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # in bfloat16 the input would lose the smallest noise
            h = self.begin_conv(2 * x.float() - 1)
        features = []
        for stage in self.stages:
            h = self.get_submodule(f"res{stage.name}")(h)
            features.append(h)
        h = self.get_submodule(self.refines[0])(features.pop())
        for name in self.refines[1:]:
            h = self.get_submodule(name)(features.pop(), h)
        score: Tensor = self.end_conv(elu(self.normalizer(h))) / sigma[:, None, None, None]
        return score


def refine_names(stages: Sequence[Stage]) -> list[str]:
    """The decoder's blocks, coarsest first; what the deepest layout adds between 2 and 3 is called refine31."""
    deepest = any(stage.name == "31" for stage in stages)
    names = [f"refine{i + 1}" for i in range(len(stages) - deepest)]
    return [*names[:2], "refine31", *names[2:]] if deepest else names
