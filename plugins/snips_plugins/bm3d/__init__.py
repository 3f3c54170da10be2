"""BM3D: block matching and collaborative filtering, the classical denoiser, as a prior."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snips.cards import DenoiserCard, Option
from snips.hookspecs import Register, hookimpl
from snips.interfaces import NoiseLevels

if TYPE_CHECKING:
    import torch

    from snips.interfaces import MMSEDenoiser

LEVELS = NoiseLevels(0.001, 1.0)

BM3D = DenoiserCard(
    name="bm3d",
    summary="block matching and 3-D filtering, gray and colour; no network, on the CPU",
    licence="the bm3d package of Tampere University: non-commercial use only",
    citation="Mäkinen, Azzari, Foi: Collaborative Filtering of Correlated Noise, IEEE TIP 2020; Dabov et al. 2007",
    url="https://webpages.tuni.fi/foi/GCF-BM3D/",
    noise_levels=LEVELS,
    channels=(1, 3),
    extra="bm3d",
    options=(Option("workers", int, None, "rows at once; default: as many as there are CPUs to use"),),
)


def load(device: str | torch.device = "cpu", workers: int | None = None) -> MMSEDenoiser:
    from snips.devices import usable_cpus
    from snips_plugins.bm3d.denoiser import BM3DDenoiser

    return BM3DDenoiser(usable_cpus() if workers is None else workers)


@hookimpl
def register_denoisers(register: Register) -> None:
    register(BM3D, load)
