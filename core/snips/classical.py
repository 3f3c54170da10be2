"""Classical estimates that samplers start from."""

from __future__ import annotations

import numpy as np
import torch
from skimage.restoration import inpaint_biharmonic
from torch import Tensor

from snips.interfaces import Operator

BEND = 0.1
"""What |Δx| of a pixel may be for the smoothing spline: the Laplacian of photographs is about that wide."""

TINT = 0.2
"""How far channels may be from their mean."""


def biharmonic_fill(y: Tensor, mask: Tensor) -> Tensor:
    """Missing pixels filled by scikit-image's biharmonic inpainting.

    Args:
        y: (B, C, H, W); rows that are equal are filled once.
        mask: (H, W) or (C, H, W), True where observed.

    Returns:
        A tensor like y, its observed pixels untouched. A channel with nothing observed becomes 0.5.
    """
    unique, inverse = torch.unique(torch.where(mask, y, 0), dim=0, return_inverse=True)
    hidden = ~mask.expand(y.shape[1:]).cpu().numpy()
    pictures = unique.double().cpu().numpy()
    filled = np.full_like(pictures, 0.5)
    for picture, out in zip(pictures, filled, strict=True):
        for channel, hole, target in zip(picture, hidden, out, strict=True):
            if not hole.all():
                target[:] = inpaint_biharmonic(channel, hole) if hole.any() else channel
    return torch.where(mask, y, torch.from_numpy(filled).to(y)[inverse])


def smoothing_spline(y: Tensor, operator: Operator, sigma: float, steps: int = 100) -> Tensor:
    """The smoothest picture that fits y: x minimises ‖y − H x‖²/σ0² + ‖Δx‖²/.1² + ‖x − x̄‖²/.2².

    Δ is wrapped around the edges, and x̄ is the mean of a pixel's channels: colour that y says nothing of is gray. By
    conjugate gradients from a flat gray, each picture by itself.

    Args:
        y: (B, …) as the operator gives it; rows that are equal are computed once.
        sigma: σ0.

    Returns:
        (B, C, H, W), of y's dtype.
    """
    unique, inverse = torch.unique_consecutive(y, dim=0, return_inverse=True)

    def curved(x: Tensor) -> Tensor:
        """Δx: the four neighbours less four times the pixel."""
        return sum((x.roll(by, axis) for by in (-1, 1) for axis in (2, 3)), -4 * x)

    def normal(x: Tensor) -> Tensor:
        fit = operator.adjoint(operator.forward(x)) / sigma**2
        return fit + curved(curved(x)) / BEND**2 + (x - x.mean(1, keepdim=True)) / TINT**2

    def solved(row: Tensor) -> Tensor:
        b = operator.adjoint(row) / sigma**2
        x = torch.full_like(b, 0.5)
        r = b - normal(x)
        p, rr = r, r.square().sum()
        for _ in range(steps):
            ap = normal(p)
            alpha = rr / (p * ap).sum().clamp_min(1e-300)
            x, r = x + alpha * p, r - alpha * ap
            rr, before = r.square().sum(), rr
            p = r + rr / before.clamp_min(1e-300) * p
        return x

    return torch.cat([solved(row[None].double()) for row in unique]).to(y)[inverse]
