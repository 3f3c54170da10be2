"""A denoiser for snips in one file: the local Wiener filter.

Lee, "Digital Image Enhancement and Noise Filtering by Use of Local Statistics", IEEE TPAMI 1980: in each window the
clean pixels are Gaussian, with the mean m and the variance max(v − σ², 0) that the noisy ones show, so that

    D(x, σ) = m + max(v − σ², 0)/v · (x − m).
"""

import snips

WIENER = snips.DenoiserCard(
    name="local-wiener",
    summary="Lee's local Wiener filter: shrinks each pixel towards the mean of its window",
    licence="MIT",
    citation="Lee: Digital Image Enhancement and Noise Filtering by Use of Local Statistics, IEEE TPAMI 1980",
    noise_levels=snips.NoiseLevels(0.0, 1.0),
    options=(snips.Option("window", int, 7, "pixels a side, odd"),),
)


class LocalWiener:
    """Pictures of any size and number of channels, each channel by itself. window: pixels a side, odd."""

    noise_levels = WIENER.noise_levels

    def __init__(self, window=7):
        if window < 3 or window % 2 == 0:
            raise snips.errors.InvalidValue(f"local-wiener's window must be odd and at least 3, not {window}")
        self.window = window

    def denoise(self, x, sigma):
        m = self._mean(x)
        v = self._mean((x - m).square())
        signal = (v - sigma.square()[:, None, None, None]).clamp(min=0)
        return m + signal / v.clamp(min=1e-12) * (x - m)

    def _mean(self, x):
        """Over the window around each pixel, as far as it lies within the picture."""
        from torch.nn.functional import avg_pool2d

        return avg_pool2d(x, self.window, stride=1, padding=self.window // 2, count_include_pad=False)


@snips.hookimpl
def register_denoisers(register):
    register(WIENER, load)


def load(device="cpu", window=7):
    """It has no weights, and computes wherever x is."""
    return LocalWiener(window)
