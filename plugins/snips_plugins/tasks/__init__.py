"""Tasks beyond denoising and inpainting: y = H x + σ0 n for linear operators H that change more than pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snips.cards import Option, TaskCard
from snips.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    from snips.tasks import Task

SAMPLERS = ("noise-split", "split-gibbs", "snips")
"""Best first, for any operator that has an SVD."""

DEBLUR = TaskCard(
    name="deblur",
    summary="convolution with a known kernel, wrapped around the edges",
    licence="MIT",
    options=(Option("kernel", str, "uniform:9", "uniform:SIDE, gaussian:STD in pixels, or a picture or .npy file"),),
    required=("kernel",),
    samplers=SAMPLERS,
)

SUPERRES = TaskCard(
    name="superres",
    summary="a picture with fewer pixels",
    licence="MIT",
    options=(
        Option("factor", int, 4, "by which it is smaller, along both sides"),
        Option("kind", str, "mean", "of blocks, or antialiased bicubic", ("mean", "bicubic")),
    ),
    required=("factor",),
    samplers=SAMPLERS,
)

COLORIZE = TaskCard(
    name="colorize",
    summary="a gray picture (luma) of a coloured one",
    licence="MIT",
    samplers=SAMPLERS,
)

COMPRESSIVE = TaskCard(
    name="compressive",
    summary="some Walsh–Hadamard coefficients of the shuffled pixels, drawn from the seed",
    licence="MIT",
    options=(
        Option("share", float, 0.25, "of the coefficients that is measured"),
        Option("size", str, None, "HEIGHTxWIDTH of the picture, for measurements that were not simulated"),
    ),
    required=("share", "size"),
    samplers=SAMPLERS,
)

LINEAR = TaskCard(
    name="linear",
    summary="a matrix of your own, up to 4096×4096",
    licence="MIT",
    options=(
        Option("matrix", str, None, "an .npy or .npz file (m, n), n the values of the picture or of a channel"),
        Option("shape", str, None, "CxHxW of the picture, for measurements that were not simulated"),
    ),
    required=("matrix", "shape"),
    samplers=SAMPLERS,
)


def load_deblur(**options: Any) -> Task:
    from snips_plugins.tasks.degradations import Deblur

    return Deblur(**options)


def load_superres(**options: Any) -> Task:
    from snips_plugins.tasks.degradations import Superres

    return Superres(**options)


def load_colorize() -> Task:
    from snips_plugins.tasks.degradations import Colorize

    return Colorize()


def load_compressive(**options: Any) -> Task:
    from snips_plugins.tasks.degradations import Compressive

    return Compressive(**options)


def load_linear(**options: Any) -> Task:
    from snips_plugins.tasks.degradations import Linear

    return Linear(**options)


@hookimpl
def register_tasks(register: Register) -> None:
    register(DEBLUR, load_deblur)
    register(SUPERRES, load_superres)
    register(COLORIZE, load_colorize)
    register(COMPRESSIVE, load_compressive)
    register(LINEAR, load_linear)
