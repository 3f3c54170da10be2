"""Classical estimates that samplers start from."""

from __future__ import annotations

import numpy as np
import torch
from skimage.restoration import inpaint_biharmonic
from torch import Tensor


def biharmonic_fill(y: Tensor, mask: Tensor) -> Tensor:
    """Missing pixels filled by scikit-image's biharmonic inpainting.

    Args:
        y: (B, C, H, W); rows that are equal are filled once.
        mask: (H, W) or (C, H, W), True where observed.

    Returns:
        A tensor like y, its observed pixels untouched. A channel with nothing observed becomes 0.5.
    """
    unique, inverse = torch.unique_consecutive(torch.where(mask, y, 0), dim=0, return_inverse=True)
    hidden = ~mask.expand(y.shape[1:]).cpu().numpy()
    pictures = unique.double().cpu().numpy()
    filled = np.full_like(pictures, 0.5)
    for picture, out in zip(pictures, filled, strict=True):
        for channel, hole, target in zip(picture, hidden, out, strict=True):
            if not hole.all():
                target[:] = inpaint_biharmonic(channel, hole) if hole.any() else channel
    return torch.where(mask, y, torch.from_numpy(filled).to(y)[inverse])
