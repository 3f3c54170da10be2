"""Classical denoisers as priors: non-local means, wavelets, total variation, and a Gaussian mixture of patches."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from snips.cards import DenoiserCard, Option
from snips.hookspecs import Register, hookimpl
from snips.interfaces import NoiseLevels

if TYPE_CHECKING:
    import torch

    from snips.interfaces import MMSEDenoiser

LEVELS = NoiseLevels(0.0, 1.0)
MEASURED = NoiseLevels(1 / 255, 1.0)
"""Where `calibrate` has measured the best strength of `nlm` and `tv`."""

WORKERS = Option("workers", int, None, "rows at once; default: as many as there are CPUs to use")

NLM = DenoiserCard(
    name="nlm",
    summary="non-local means, gray and colour, its strength measured for each σ; on the CPU",
    licence="BSD-3-Clause (scikit-image)",
    citation="Buades, Coll, Morel: Non-Local Means Denoising, IPOL 2011; Darbon et al. 2008",
    url="https://scikit-image.org",
    noise_levels=MEASURED,
    channels=(1, 3),
    options=(WORKERS,),
)

WAVELET = DenoiserCard(
    name="wavelet",
    summary="BayesShrink of wavelet coefficients, averaged over shifts, gray and colour; on the CPU",
    licence="BSD-3-Clause (scikit-image), MIT (PyWavelets)",
    citation="Chang, Yu, Vetterli: Adaptive Wavelet Thresholding, IEEE TIP 2000; Coifman, Donoho 1995 (shifts)",
    url="https://scikit-image.org",
    noise_levels=LEVELS,
    channels=(1, 3),
    extra="wavelet",
    options=(Option("shifts", int, 4, "along each axis to average over; 1: none"), WORKERS),
)

TV = DenoiserCard(
    name="tv",
    summary="total variation, gray and colour, its weight measured for each σ; on the CPU",
    licence="BSD-3-Clause (scikit-image)",
    citation="Rudin, Osher, Fatemi 1992; Chambolle: An Algorithm for Total Variation Minimization, JMIV 2004",
    url="https://scikit-image.org",
    noise_levels=MEASURED,
    channels=(1, 3),
    options=(WORKERS,),
)

GMM = DenoiserCard(
    name="gmm",
    summary="exact MMSE of patches under a Gaussian mixture, averaged where they overlap, at several scales",
    licence="MIT",
    citation="after Zoran, Weiss: From Learning Models of Natural Image Patches to Whole Image Restoration, ICCV 2011",
    noise_levels=LEVELS,
    channels=(1, 3),
    options=(Option("weights", str, None, "mixtures of train_gmm; default: the packaged ones"),),
)


def load_filter(name: str, device: str | torch.device = "cpu", **options: Any) -> MMSEDenoiser:
    from snips_plugins.classical.filters import load

    return load(name, **options)


def load_gmm(device: str | torch.device = "cpu", weights: str | None = None) -> MMSEDenoiser:
    from snips_plugins.classical.gmm import PACKAGED, load_mixtures

    return load_mixtures(weights or PACKAGED, device)


@hookimpl
def register_denoisers(register: Register) -> None:
    for card in (NLM, WAVELET, TV):
        register(card, partial(load_filter, card.name))
    register(GMM, load_gmm)
