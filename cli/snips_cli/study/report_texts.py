"""The titles of a report's sections, in reading order, and how to read each: for someone who has not seen the tool."""

from __future__ import annotations

SECTIONS = {
    "closeness": (
        "How close: PSNR and the MSE ratio",
        "As the paper's Table 1. An exact sampler pays 3 dB for detail: its squared error is twice that of the MMSE "
        "estimate (ratio 2), and the mean of many samples is the MMSE estimate again.",
    ),
    "looks": (
        "How it looks: perceptual distance",
        "As the paper's Table 4. Samples should look more like the clean picture than the MMSE estimate does, though "
        "they are further from it pixel by pixel.",
    ),
    "plane": (
        "The perception–distortion plane",
        "To the left is closer to the truth, below looks better. Near the lower left edge one is only gained by "
        "giving up the other (Blau and Michaeli 2018): from the MMSE estimate to the samples.",
    ),
    "sets": (
        "As sets of pictures: KID and FID",
        "Do the restored pictures, all together, look like the clean ones to a network? Blurred ones do not, however "
        "close each is to its original.",
    ),
    "holes": (
        "Inpainting and other tasks",
        "Closeness where nothing was seen. Of a wide hole much can be true, so samples differ (diversity), and their "
        "mean is closer than each of them.",
    ),
    "denoised": (
        "Denoised pictures",
        "As the paper's Figures 2 to 4. Above, the truth and what was seen of it; then a line for each prior: its MMSE "
        "estimate, samples of what the picture may have been, their mean and their standard deviation.",
    ),
    "inpainted": (
        "Inpainted pictures",
        "As the paper's Figures 8, 9 and 29 to 32. Missing pixels are gray in what was observed; each sample is one "
        "way in which the picture may go on there.",
    ),
    "residual": (
        "What was removed",
        "As the paper's Figures 5 and 13. The residual of a valid sample is white Gaussian noise of level σ0: no "
        "picture to be seen in it, std 1, ρ near 0, p not small. That of an MMSE estimate is too small, and "
        "shows the picture.",
    ),
    "diversity": (
        "Diversity",
        "As the paper's Figure 12. What two samples disagree on, four times as large: edges and texture, where the "
        "noise left a choice; black where they agree.",
    ),
    "states": (
        "On the way",
        "As the paper's Figures 7 and 33. The first sample at a few noise levels, from the first step to the last.",
    ),
    "calibration": (
        "Calibration: is the spread right?",
        "Each column's head says what an exact sampler has, and figures near it are marked. Each alone lets a wrong "
        "sampler through, so look at all of them.",
    ),
    "cost": (
        "Time and denoiser calls",
        "NFE is the number of denoiser calls for a sample. Seconds are wall time on the machine named, while it did "
        "what else it had to do.",
    ),
    "study": (
        "What was studied",
        "All that is needed to judge the figures, and to make them again.",
    ),
}
"""By the id of the section: its title, and how to read it."""
