"""Plain stacks of convolutions with ReLU between them: DnCNN, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from snips.errors import WeightsError
from snips_plugins.layers import Conv2d


@dataclass(frozen=True)
class Layout:
    """What the tensors of a stack tell about it."""

    convs: tuple[tuple[int, int, int], ...]
    """(channels in, channels out, size) of each convolution."""
    bias: bool = True
    norm: bool = False
    """Batch normalisation after every convolution but the first and the last."""

    @property
    def inputs(self) -> int:
        return self.convs[0][0]

    @property
    def outputs(self) -> int:
        return self.convs[-1][1]

    @property
    def depth(self) -> int:
        return len(self.convs)

    def __str__(self) -> str:
        return f"{self.depth} convolutions from {self.inputs} to {self.outputs} channels"


def layout_of(state: Mapping[str, Tensor], what: str) -> Layout:
    """The layout of a state dict with names `model.{0, 2, …}.weight`. Raises WeightsError if it is no stack."""
    kernels = {
        int(found[1]): tensor
        for name, tensor in state.items()
        if tensor.ndim == 4 and (found := re.fullmatch(r"model\.(\d+)\.weight", name))
    }
    if len(kernels) < 2:
        some = ", ".join(list(state)[:3])
        raise WeightsError(f"{what}: not a stack of convolutions model.0.weight, model.2.weight, …; it has {some}")
    convs = tuple((k.shape[1], k.shape[0], k.shape[2]) for _, k in sorted(kernels.items()))
    return Layout(
        convs,
        bias=any(name.endswith(".bias") for name in state),
        norm=any(name.endswith(".running_mean") for name in state),
    )


class Stack(nn.Module):
    """The stack of one layout. Modules are numbered as in KAIR's `model`, ReLU and batch normalisation among them.

    dilations: of each convolution, 1 by default. linear_start: no ReLU after the first one.
    Forward: x (B, in, H, W) of any size, to (B, out, H, W).
    """

    def __init__(self, layout: Layout, dilations: Sequence[int] = (), linear_start: bool = False) -> None:
        super().__init__()
        last = layout.depth - 1
        layers: list[nn.Module] = []
        for i, (cin, cout, size) in enumerate(layout.convs):
            d = dilations[i] if dilations else 1
            layers.append(Conv2d(cin, cout, size, padding=d * (size // 2), dilation=d, bias=layout.bias))
            if layout.norm and 0 < i < last:
                layers.append(nn.BatchNorm2d(cout, eps=1e-4))
            if i < last:
                layers.append(nn.Identity() if linear_start and i == 0 else nn.ReLU())
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        answer: Tensor = self.model(x)
        return answer
