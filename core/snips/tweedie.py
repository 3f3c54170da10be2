"""From a denoiser to the score, and a denoiser called on one picture.

Tweedie's formula (Robbins 1956, Miyasawa 1961; Eq. 4 of Kawar, Vaksman and Elad 2021):
∇ log p_σ(x) = (D(x, σ) − x) / σ².
"""

from __future__ import annotations

import torch
from torch import Tensor

from snips.errors import InvalidValue
from snips.interfaces import MMSEDenoiser


def levels_like(x: Tensor, sigma: float | Tensor) -> Tensor:
    """σ as a tensor (B,) of x's dtype and device. Raises InvalidValue for a tensor of another shape."""
    if isinstance(sigma, Tensor):
        if sigma.shape not in ((), (len(x),)):
            raise InvalidValue(f"sigma must be a number or of shape ({len(x)},), not {tuple(sigma.shape)}")
        return sigma.to(x).expand(len(x))
    return torch.full((len(x),), sigma, dtype=x.dtype, device=x.device)


def score(denoiser: MMSEDenoiser, x: Tensor, sigma: float | Tensor) -> Tensor:
    """(D(x, σ) − x) / σ², with the very σ that the denoiser was given.

    Args:
        x: (B, C, H, W), clean range [0, 1].
        sigma: a number, or one a row (B,).
    """
    s = levels_like(x, sigma)
    return (denoiser.denoise(x, s) - x) / s.square()[:, None, None, None]


def denoise(denoiser: MMSEDenoiser, x: Tensor, sigma: float | Tensor) -> Tensor:
    """D(x, σ) for one picture (C, H, W) or a batch (B, C, H, W), without gradients.

    Raises InvalidValue for another number of dimensions.
    """
    if x.ndim not in (3, 4):
        raise InvalidValue(f"a picture is (C, H, W) or (B, C, H, W), not {tuple(x.shape)}")
    rows = x if x.ndim == 4 else x[None]
    with torch.inference_mode():
        clean = denoiser.denoise(rows, levels_like(rows, sigma))
    return clean if x.ndim == 4 else clean[0]
