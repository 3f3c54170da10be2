"""Pictures in and out: files become float32 arrays (C, H, W), clean range [0, 1]."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from snips.errors import ImageError, OutputError, SnipsWarning

if TYPE_CHECKING:
    from torch import Tensor

Picture = NDArray[np.float32]

LOOKS_UNSCALED = 10.0
"""A float picture that reaches beyond this was hardly meant to lie in [0, 1], noise and all."""

_PILLOW_READS = ("L", "LA", "RGB", "RGBA", "I;16", "F")


def read_picture(path: str | Path) -> Picture:
    """The picture in a PNG, JPEG, WebP, TIFF or NPY file (and what else Pillow reads) as float32 (C, H, W).

    Integers are divided by the largest value of their type; floats are taken as they are, so that noisy pictures keep
    what lies beyond [0, 1]. C is 1 or 3; an alpha channel is dropped, with a SnipsWarning unless it is opaque.
    Raises ImageError for a file that is missing, broken, empty, or holds NaN, infinity or anything but one picture.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise ImageError(f"{path}: {'is a folder, not a picture' if path.is_dir() else 'no such file'}")
        if path.stat().st_size == 0:
            raise ImageError(f"{path}: the file is empty")
        values = _READERS.get(path.suffix.lower(), _read_bitmap)(path)
    except ImageError:
        raise
    except Exception as error:  # decoders fail in every way there is
        reason = (str(error).splitlines() or [""])[0].replace(str(path), "").strip(" :'\"") or type(error).__name__
        raise ImageError(f"{path}: cannot be read as a picture ({reason})") from error
    return _as_picture(values, path)


def read_values(path: str | Path) -> Picture:
    """What was measured where it is no picture: an .npy of (m,), (C, m) or (C, h, w) values, as float32 (C, h, w).

    Raises ImageError for a file that is missing, broken or empty, or that holds NaN, infinity or anything else.
    """
    path = Path(path)
    if not path.is_file() or path.suffix.lower() != ".npy":
        raise ImageError(f"{path}: {'measured values are read from .npy' if path.is_file() else 'no such file'}")
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ImageError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from error
    if values.ndim not in (1, 2, 3) or values.size == 0 or not np.issubdtype(values.dtype, np.floating):
        raise ImageError(f"{path}: measured values are floats (m,), (C, m) or (C, h, w), not {values.shape}")
    if not np.isfinite(values).all():
        raise ImageError(f"{path}: {np.count_nonzero(~np.isfinite(values))} values are NaN or infinite")
    wanted = {1: (1, 1, -1), 2: (len(values), 1, -1), 3: values.shape}[values.ndim]
    return np.ascontiguousarray(values.reshape(wanted), dtype=np.float32)


def write_png(path: str | Path, picture: Tensor | NDArray[np.floating]) -> None:
    """Write (C, H, W) or (H, W) as an 8-bit PNG; for display only, what lies outside [0, 1] is clipped.

    Raises OutputError if the file cannot be written.
    """
    try:
        as_image(picture).save(path, format="PNG")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def as_image(picture: Tensor | NDArray[np.floating]) -> Image.Image:
    """The 8-bit image of (C, H, W) or (H, W) values, clipped to [0, 1], C being 1 or 3."""
    values = np.atleast_3d(np.asarray(picture))
    values = values[..., 0] if np.ndim(picture) == 2 else np.moveaxis(values, 0, -1)
    values = values[..., 0] if values.ndim == 3 and values.shape[-1] == 1 else values
    return Image.fromarray(np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8))


def to_gray(picture: Picture) -> Picture:
    """Luma (1, H, W) of a colour picture, Y = .299 R + .587 G + .114 B (ITU-R BT.601); a gray one as it is."""
    if len(picture) == 1:
        return picture
    luma: Picture = np.einsum("c,chw->hw", np.array([0.299, 0.587, 0.114], np.float32), picture)
    return luma[None]


def bundled_picture() -> Picture:
    """The astronaut of scikit-image (NASA, public domain): her head and shoulders, averaged down to (3, 128, 128)."""
    from skimage.data import astronaut
    from skimage.transform import downscale_local_mean

    half = downscale_local_mean(astronaut()[:256, 96:352] / 255, (2, 2, 1))
    return np.ascontiguousarray(np.moveaxis(half, -1, 0), dtype=np.float32)


def _read_bitmap(path: Path) -> NDArray[np.generic]:
    with Image.open(path) as image:
        if getattr(image, "n_frames", 1) > 1:
            raise ImageError(f"{path}: holds {getattr(image, 'n_frames', 0)} pictures; save the one you mean by itself")
        upright = ImageOps.exif_transpose(image)
        if image.format == "PNG" and _is_deep_colour(path):
            warnings.warn(f"{path}: 16-bit colour PNG read at 8 bits; TIFF keeps all 16", SnipsWarning, stacklevel=4)
        if upright.mode.startswith("I"):
            return np.asarray(upright).astype(np.uint16)
        if upright.mode not in _PILLOW_READS:
            opaque = upright.mode in ("1", "L") or "transparency" not in upright.info
            gray = upright.mode == "1"
            upright = upright.convert("L" if gray else "RGB" if opaque else "RGBA")
        return np.asarray(upright)


def _is_deep_colour(path: Path) -> bool:
    """A PNG's header: bit depth in byte 24, colour type in byte 25 (2 and 6 are colour)."""
    with path.open("rb") as file:
        header = file.read(26)
    return header[24] == 16 and header[25] in (2, 6)


def _read_tiff(path: Path) -> NDArray[np.generic]:
    import imageio.v3 as imageio

    try:
        return imageio.imread(path, plugin="tifffile")
    except Exception:  # some compressions are beyond tifffile alone, but not beyond Pillow
        return _read_bitmap(path)


def _read_npy(path: Path) -> NDArray[np.generic]:
    return np.load(path, allow_pickle=False)  # type: ignore[no-any-return]


_READERS = {".tif": _read_tiff, ".tiff": _read_tiff, ".npy": _read_npy}


def _as_picture(values: NDArray[np.generic], path: Path) -> Picture:
    if values.size == 0:
        raise ImageError(f"{path}: holds no pixels, its shape is {values.shape}")
    channels_first = _channels_first(values, path)
    scaled = _scaled(channels_first, path)
    if len(scaled) in (2, 4):
        *_, alpha = scaled
        if alpha.min() < 1:
            warnings.warn(f"{path}: transparency ignored, the colours below it are used", SnipsWarning, stacklevel=3)
        scaled = scaled[:-1]
    bad = int(np.count_nonzero(~np.isfinite(scaled)))
    if bad:
        raise ImageError(f"{path}: {bad} values are NaN or infinite; mark missing pixels by a mask (-t mask=FILE)")
    largest = float(np.abs(scaled).max())
    if largest > LOOKS_UNSCALED:
        raise ImageError(
            f"{path}: float values up to {largest:g}, but clean pictures lie in [0, 1]; are these 0..255? divide by 255"
        )
    return np.ascontiguousarray(scaled, dtype=np.float32)


def _channels_first(values: NDArray[np.generic], path: Path) -> NDArray[np.generic]:
    if values.ndim == 2:
        return values[None]
    if values.ndim == 3 and values.shape[-1] in (1, 2, 3, 4):
        return np.moveaxis(values, -1, 0)
    if values.ndim == 3 and values.shape[0] in (1, 2, 3, 4):
        return values
    raise ImageError(
        f"{path}: shape {values.shape} is no picture; one is (H, W), (H, W, C) or (C, H, W), "
        "C being 1 (gray) or 3 (colour), and one more for transparency"
    )


def _scaled(values: NDArray[np.generic], path: Path) -> NDArray[np.floating]:
    if values.dtype == np.bool_:
        return values.astype(np.float32)
    for integer, largest in ((np.uint8, 255), (np.uint16, 65535)):
        if values.dtype == integer:
            return values.astype(np.float32) / np.float32(largest)
    if np.issubdtype(values.dtype, np.floating):
        return values.astype(np.float32)
    raise ImageError(f"{path}: holds {values.dtype}; save it as uint8, uint16 or float")
