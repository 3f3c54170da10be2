"""Pictures of any size through networks that take only some."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor


def on_multiples(function: Callable[[Tensor], Tensor], x: Tensor, multiple: int, mode: str, least: int = 1) -> Tensor:
    """The function's answer to x padded at the bottom and right to multiples, cropped to the size of x.

    Args:
        function: (B, C, H', W') to (B, C', H', W').
        x: (B, C, H, W).
        multiple: H' and W' are the next multiples of it from `least` on.
        mode: "replicate" or "reflect"; pictures too small to be reflected are replicated.
    """
    height, width = x.shape[-2:]
    down, right = (-(-max(size, least) // multiple) * multiple - size for size in (height, width))
    if not (down or right):
        return function(x)
    if mode == "reflect" and (down >= height or right >= width):
        mode = "replicate"
    return function(F.pad(x, (0, right, 0, down), mode))[..., :height, :width]
