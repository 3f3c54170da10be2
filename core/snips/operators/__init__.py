"""Linear operators with their singular value decomposition, none of which needs a dense matrix for a picture.

Each implements SpectralOperator (see `snips.interfaces`); Identity and Mask are in `snips.observation`.
"""

from __future__ import annotations

from snips.operators.blur import Blur
from snips.operators.colour import Grayscale
from snips.operators.downsample import Downsample
from snips.operators.hadamard import WalshHadamard
from snips.operators.matrix import Matrix
from snips.operators.spectral import Spectral

__all__ = ["Blur", "Downsample", "Grayscale", "Matrix", "Spectral", "WalshHadamard"]
