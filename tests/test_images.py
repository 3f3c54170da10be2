"""Reading and writing pictures: every format comes in with the same values, every unusable file with one line."""

from __future__ import annotations

import re

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from PIL import Image

from snips.errors import ImageError, OutputError, SnipsWarning
from snips.images import bundled_picture, read_picture, to_gray, write_png


@pytest.fixture
def colour() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (11, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "bmp"])
def test_8_bit_colour_is_divided_by_255(tmp_path, colour, suffix):
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(colour).save(path, **({"lossless": True} if suffix == "webp" else {}))
    picture = read_picture(path)
    assert picture.dtype == np.float32
    assert picture.shape == (3, 11, 7)
    np.testing.assert_allclose(picture, np.moveaxis(colour, -1, 0) / 255, atol=1e-7)


def test_jpeg_is_read_near_the_truth(tmp_path):
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    Image.fromarray(ramp).save(tmp_path / "x.jpg", quality=95)
    np.testing.assert_allclose(read_picture(tmp_path / "x.jpg")[0], ramp / 255, atol=0.02)


def test_jpeg_is_turned_upright(tmp_path, colour):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270°
    Image.fromarray(colour).save(tmp_path / "x.jpg", exif=exif)
    assert read_picture(tmp_path / "x.jpg").shape == (3, 7, 11)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_gray_is_divided_by_65535(tmp_path, suffix):
    values = np.array([[0, 1, 300], [40000, 65534, 65535]], dtype=np.uint16)
    imageio.imwrite(tmp_path / f"x.{suffix}", values)
    np.testing.assert_allclose(read_picture(tmp_path / f"x.{suffix}")[0], values / 65535, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_colour_tiff_keeps_its_precision(tmp_path, dtype):
    values = np.random.default_rng(0).random((6, 5, 3))
    stored = (values * 65535).astype(dtype) if dtype == np.uint16 else (2 * values - 0.5).astype(dtype)
    imageio.imwrite(tmp_path / "x.tiff", stored)
    expected = stored / 65535 if dtype == np.uint16 else stored
    np.testing.assert_allclose(read_picture(tmp_path / "x.tiff"), np.moveaxis(expected, -1, 0), atol=1e-6)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_compressed_tiff_is_read(tmp_path, colour, compression):
    Image.fromarray(colour).save(tmp_path / "x.tif", compression=compression)
    np.testing.assert_allclose(
        read_picture(tmp_path / "x.tif"), np.moveaxis(colour, -1, 0) / 255, atol=0.5 if compression == "jpeg" else 1e-7
    )


def test_noisy_floats_keep_what_lies_beyond_0_and_1(tmp_path):
    noisy = np.random.default_rng(0).normal(0.5, 1, (8, 9))
    np.save(tmp_path / "x.npy", noisy)
    np.testing.assert_array_equal(read_picture(tmp_path / "x.npy")[0], noisy.astype(np.float32))


@pytest.mark.parametrize("shape", [(8, 9), (1, 8, 9), (3, 8, 9), (8, 9, 1), (8, 9, 3)])
def test_npy_of_either_layout(tmp_path, shape):
    np.save(tmp_path / "x.npy", np.zeros(shape))
    assert read_picture(tmp_path / "x.npy").shape == (3 if 3 in shape else 1, 8, 9)


def test_palette_and_bilevel_pictures_are_expanded(tmp_path, colour):
    Image.fromarray(colour).quantize(4).save(tmp_path / "palette.png")
    Image.fromarray(colour[..., 0] > 99).save(tmp_path / "bilevel.png")
    assert read_picture(tmp_path / "palette.png").shape == (3, 11, 7)
    np.testing.assert_array_equal(read_picture(tmp_path / "bilevel.png")[0], colour[..., 0] > 99)


def test_opaque_alpha_is_dropped_in_silence(tmp_path, colour):
    Image.fromarray(np.dstack([colour, np.full((11, 7), 255, np.uint8)])).save(tmp_path / "x.png")
    np.testing.assert_allclose(read_picture(tmp_path / "x.png"), np.moveaxis(colour, -1, 0) / 255, atol=1e-7)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_dropped_with_a_warning(tmp_path, colour, mode):
    image = Image.fromarray(np.dstack([colour, np.full((11, 7), 100, np.uint8)]))
    if mode == "P":
        Image.fromarray(colour).quantize(4).save(tmp_path / "x.png", transparency=0)
    else:
        image.convert(mode).save(tmp_path / "x.png")
    with pytest.warns(SnipsWarning, match="transparency"):
        assert read_picture(tmp_path / "x.png").shape == (1 if mode == "LA" else 3, 11, 7)


def test_16_bit_colour_png_says_that_it_loses_bits(tmp_path):
    # Pillow cannot write one, so the header is all there is: signature, IHDR of a 1×1 16-bit RGB picture, its data.
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    data = zlib.compress(b"\0" + struct.pack(">HHH", 0xFFFF, 0x8000, 0))
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    (tmp_path / "x.png").write_bytes(png)
    with pytest.warns(SnipsWarning, match="16-bit"):
        np.testing.assert_allclose(read_picture(tmp_path / "x.png")[:, 0, 0], [1, 0.5, 0], atol=1 / 255)


BAD = {
    "empty": ("x.png", b"", "empty"),
    "text": ("x.png", b"this is no picture", "cannot be read"),
    "npy of nothing": ("x.npy", b"\x93NUMPY", "cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_bytes_that_are_no_picture(tmp_path, case):
    name, content, reason = BAD[case]
    (tmp_path / name).write_bytes(content)
    _refused(tmp_path / name, reason)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "npy"])
def test_half_a_file(tmp_path, suffix):
    values = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"x.{suffix}"
    if suffix == "npy":
        np.save(path, values)
    else:
        Image.fromarray(values).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _refused(path, "cannot be read")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros((0, 5)), "no pixels"),
        (np.zeros((6, 6, 5)), "no picture"),
        (np.zeros((2, 3, 4, 4)), "no picture"),
        (np.zeros(7), "no picture"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.where(np.eye(4), np.inf, 0), "4 values are NaN or infinite"),
        (np.full((4, 4), 200.0), "divide by 255"),
        (np.zeros((4, 4), dtype=np.int64), "int64"),
        (np.zeros((4, 4), dtype=complex), "complex"),
        (np.array([[{}]], dtype=object), "cannot be read"),
    ],
)
def test_arrays_that_are_no_picture(tmp_path, values, reason):
    np.save(tmp_path / "x.npy", values, allow_pickle=True)
    _refused(tmp_path / "x.npy", reason)


def test_an_animation_is_not_one_picture(tmp_path):
    frames = [Image.new("L", (4, 4), shade) for shade in (0, 200)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    _refused(tmp_path / "x.gif", "2 pictures")


def test_no_file_and_a_folder(tmp_path):
    _refused(tmp_path / "absent.png", "no such file")
    _refused(tmp_path, "folder")


def _refused(path, reason):
    with pytest.raises(ImageError, match=re.escape(reason)) as caught:
        read_picture(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("shape", [(3, 5, 4), (1, 5, 4), (5, 4)])
@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_png_is_rounded_and_clipped(tmp_path, shape, kind):
    values = np.random.default_rng(0).normal(0.5, 0.5, shape).astype(np.float32)
    write_png(tmp_path / "x.png", kind(values))
    back = read_picture(tmp_path / "x.png")
    np.testing.assert_allclose(back.reshape(shape), np.clip(values, 0, 1), atol=0.5001 / 255)


def test_png_into_no_folder(tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        write_png(tmp_path / "absent" / "x.png", np.zeros((2, 2)))


def test_gray_is_luma():
    colour = np.zeros((3, 1, 4), np.float32)
    colour[0, 0, 0] = colour[1, 0, 1] = colour[2, 0, 2] = 1
    colour[:, 0, 3] = 1
    np.testing.assert_allclose(to_gray(colour)[0, 0], [0.299, 0.587, 0.114, 1], rtol=1e-6)


def test_bundled_picture_is_a_clean_colour_picture():
    picture = bundled_picture()
    assert picture.shape == (3, 128, 128)
    assert 0 <= picture.min() < 0.1
    assert 0.9 < picture.max() <= 1
