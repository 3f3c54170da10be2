"""The networks that metrics look through: files of weights that `snips weights get` can fetch."""

from __future__ import annotations

from snips.cards import WeightsFile

TORCHVISION = "https://download.pytorch.org/models/"

BACKBONES = {
    "alex": WeightsFile(
        "lpips-alex", f"{TORCHVISION}alexnet-owt-7be5be79.pth", "", "BSD-3-Clause", None, "AlexNet, for LPIPS"
    ),
    "vgg": WeightsFile("lpips-vgg", f"{TORCHVISION}vgg16-397923af.pth", "", "BSD-3-Clause", None, "VGG-16, for LPIPS"),
    "squeeze": WeightsFile(
        "lpips-squeeze", f"{TORCHVISION}squeezenet1_1-b8a52dc0.pth", "", "BSD-3-Clause", None, "SqueezeNet, for LPIPS"
    ),
}
"""torchvision's ImageNet networks that LPIPS looks through; `snips weights get lpips-alex` fetches one."""
