"""Put weights that `train` wrote into the package, with a card of where they come from.

python -m snips_plugins.ncsnv2.package runs/ncsnv2/weights.safetensors
"""

from __future__ import annotations

import os
from pathlib import Path

import click
from safetensors.torch import save_file

from snips.weights import as_state, read_metadata, read_weights
from snips_plugins.ncsnv2.denoiser import PACKAGED, load_ncsnv2

CARD = {
    "title": "NCSNv2 score network for colour pictures, ngf 24",
    "licence": "MIT",
    "made": "torchrun --nproc-per-node 2 -m snips_plugins.ncsnv2.train --steps 3500 --rows 6, in an hour on two cores; "
    "the first 2750 steps were on a longer cosine schedule, which was then cut short",
    "data": "41 photographs of CLIC 2025 (Unsplash licence), 25 of GB82 (CC0), Kodak24 (unrestricted use), "
    "coffee and rocket of scikit-image (CC0), 200 dead-leaves pictures",
}


@click.command()
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(source: Path) -> None:
    """Package the weights of SOURCE."""
    part = PACKAGED.with_suffix(".part")
    save_file(as_state(read_weights(source), str(source)), part, CARD | read_metadata(source))
    part.chmod(0o644)
    load_ncsnv2(part, "cpu")
    os.replace(part, PACKAGED)
    click.echo(f"{PACKAGED}: {PACKAGED.stat().st_size / 1e6:.1f} MB, {read_metadata(PACKAGED)}")


if __name__ == "__main__":
    main()
