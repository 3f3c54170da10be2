"""Learn the Gaussian mixtures of patches that `gmm` denoises with, from folders of photographs.

    python -m snips_plugins.classical.train_gmm --images PHOTOS --images KODAK --out runs/gmm.safetensors

Needs scikit-learn. Some minutes on two cores.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from scipy.linalg import helmert
from sklearn.mixture import GaussianMixture
from torch import Tensor

from snips.images import to_gray
from snips.training.corpora import Corpus, photographs

KINDS = {"gray": (1, 8), "colour": (3, 5)}
"""Channels and side of each kind of patch."""


def patches(images: tuple[Path, ...], channels: int, side: int, count: int) -> NDArray[np.float32]:
    """`count` random patches (count, channels · side²) in [0, 1], of the pictures at half and at quarter size."""
    cut = Corpus(photographs(images, 64, (0.5, 0.25))).crops(count, side, 0, 0)
    rows: NDArray[np.float32] = cut.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    if channels == 1:
        rows = to_gray(rows.swapaxes(0, 1).reshape(3, -1, side)).reshape(count, 1, side, side)
    return rows.reshape(count, -1)


def mixture(rows: NDArray[np.float32], components: int, steps: int) -> dict[str, Tensor]:
    """EM on what the patches have besides their mean, in the orthonormal coordinates of the Helmert matrix.

    The Cholesky factors of the covariances are kept, row by row, without what lies above the diagonal: they stand
    half precision better than the covariances.
    """
    fit = GaussianMixture(
        components, reg_covar=1e-6, max_iter=steps, init_params="k-means++", random_state=0, verbose=2
    ).fit(rows @ helmert(rows.shape[1]).T.astype(np.float32))
    order = np.argsort(-fit.weights_)
    factors = np.linalg.cholesky(fit.covariances_[order].astype(np.float64))
    lower = np.tril_indices(factors.shape[1])
    return {
        "weights": torch.from_numpy(fit.weights_[order]).float(),
        "means": torch.from_numpy(fit.means_[order]).half(),
        "factors": torch.from_numpy(factors[:, *lower]).half(),
    }


@click.command()
@click.option("--images", multiple=True, required=True, type=click.Path(exists=True, path_type=Path), help="Folder.")
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Where to write the weights."
)
@click.option("--patches", "count", default=150_000, show_default=True, help="To learn each mixture from.")
@click.option("--components", default=128, show_default=True, help="Gaussians of each mixture.")
@click.option("--steps", default=40, show_default=True, help="Of EM, at most.")
@click.option("--origin", default="", help="What the pictures are, for the card of the weights.")
def main(images: tuple[Path, ...], out: Path, count: int, components: int, steps: int, origin: str) -> None:
    """Learn a mixture of gray patches and one of colour patches."""
    state: dict[str, Tensor] = {}
    for kind, (channels, side) in KINDS.items():
        learned = mixture(patches(images, channels, side, count), components, steps)
        state |= {f"{kind}.{name}": tensor.contiguous() for name, tensor in learned.items()}
        click.echo(f"{kind}: {components} components on {count} patches {channels}×{side}×{side}")
    made = f"train_gmm --patches {count} --components {components} --steps {steps}"
    save_file(state, out, {"title": "Gaussian mixtures of patches", "licence": "MIT", "made": made, "data": origin})
    click.echo(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
