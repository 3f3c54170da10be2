"""Every operator is what its name says, and has the singular value decomposition that it claims."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage, sparse
from scipy.sparse.linalg import aslinearoperator

import snips
from operators import OPERATORS, SKEW, dense
from snips.analytic import operator_matrix
from snips.errors import InvalidValue
from snips.operators.blur import gaussian_kernel, uniform_kernel
from snips.operators.hadamard import walsh_hadamard
from snips.operators.matrix import read_matrix

each = pytest.mark.parametrize("name", OPERATORS)


def pictures(shape, count=3, seed=0, dtype=torch.float64):
    return torch.randn(count, *shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def basis(transform, shape):
    """The matrix of a linear map from pictures of this shape, one column a value."""
    d = math.prod(shape)
    return transform(torch.eye(d, dtype=torch.float64).reshape(d, *shape)).flatten(1).T


@each
def test_adjoint(name):
    operator, shape = OPERATORS[name]
    x = pictures(shape)
    hx = operator.forward(x)
    y = pictures(hx.shape[1:], seed=1)
    torch.testing.assert_close((hx * y).sum((1, 2, 3)), (x * operator.adjoint(y)).sum((1, 2, 3)))
    assert operator.adjoint(y).shape == x.shape


@each
def test_singular_value_decomposition(name):
    operator, shape = OPERATORS[name]
    assert isinstance(operator, snips.SpectralOperator)
    s = operator.singular_values.double().expand(shape).flatten()
    assert (s >= 0).all()
    v = basis(operator.v, shape)
    torch.testing.assert_close(v.T @ v, torch.eye(len(s), dtype=torch.float64))
    torch.testing.assert_close(basis(operator.vt, shape), v.T)
    h = operator_matrix(operator, shape)
    u = basis(operator.u, shape)[:, s > 0]
    torch.testing.assert_close(u.T @ u, torch.eye(u.shape[1], dtype=torch.float64))
    torch.testing.assert_close(u * s[s > 0] @ v[:, s > 0].T, h)
    ut = basis(operator.ut, operator.forward(pictures(shape)).shape[1:])
    torch.testing.assert_close(ut[s > 0], u.T)
    assert (ut[s == 0] == 0).all()
    true = torch.linalg.svdvals(h)
    torch.testing.assert_close(s.sort(descending=True).values[: len(true)], true)


@each
def test_rows_do_not_depend_on_the_batch(name):
    operator, shape = OPERATORS[name]
    x = pictures(shape, dtype=torch.float32)
    y = operator.forward(x)
    assert y.dtype == torch.float32
    for transform, rows in ((operator.vt, x), (operator.v, x), (operator.u, x), (operator.ut, y)):
        assert torch.equal(transform(rows)[1:2], transform(rows[1:2]))


@each
def test_moving_keeps_the_operator(name):
    operator, shape = OPERATORS[name]
    x = pictures(shape)
    assert torch.equal(operator.to(torch.device("cpu")).forward(x), operator.forward(x))


def test_blur_is_periodic_convolution():
    x = pictures((2, 9, 8))
    for kernel in (uniform_kernel(3), gaussian_kernel(0.7), SKEW[:, :1].double(), SKEW.double()):
        expected = ndimage.convolve(x.numpy(), kernel.numpy()[None, None], mode="wrap")
        torch.testing.assert_close(snips.Blur(kernel, (9, 8)).forward(x), torch.from_numpy(expected))


def test_kernels_have_sum_one_and_the_right_width():
    kernel = gaussian_kernel(1.6)
    assert kernel.shape == (11, 11)
    offsets = torch.arange(-5.0, 6.0, dtype=torch.float64)
    assert float(kernel.sum()) == pytest.approx(1)
    assert float((kernel.sum(0) * offsets**2).sum()) == pytest.approx(1.6**2, rel=0.05)
    assert float(uniform_kernel(9).sum()) == pytest.approx(1)


def test_downsampling_by_means_is_the_mean_of_blocks():
    x = pictures((1, 6, 9))
    expected = x.reshape(3, 1, 2, 3, 3, 3).mean((3, 5))
    torch.testing.assert_close(snips.Downsample((6, 9), 3).forward(x), expected)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_bicubic_downsampling_is_pillows_away_from_the_edges(factor):
    """Pillow's bicubic filter is Keys's with a = −1/2, stretched by the factor; only the edges differ."""
    x = pictures((1, 12 * factor, 10 * factor), 1, dtype=torch.float32)
    seen = snips.Downsample(tuple(x.shape[2:]), factor, "bicubic").forward(x)[0, 0]
    image = Image.fromarray(x[0, 0].numpy()).resize((10, 12), Image.Resampling.BICUBIC)
    np.testing.assert_allclose(seen[2:-2, 2:-2], np.asarray(image)[2:-2, 2:-2], atol=2e-5)
    flat = snips.Downsample(tuple(x.shape[2:]), factor, "bicubic").forward(torch.full_like(x, 0.3))
    torch.testing.assert_close(flat, torch.full_like(flat, 0.3))


def test_grayscale_is_luma():
    x = pictures((3, 4, 5))
    expected = 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]
    torch.testing.assert_close(snips.Grayscale().forward(x), expected)


def test_walsh_hadamard_matches_its_matrix():
    from scipy.linalg import hadamard

    x = pictures((1, 2, 16))
    torch.testing.assert_close(walsh_hadamard(x), x @ torch.from_numpy(hadamard(16) / 4.0).double())


def test_walsh_hadamard_measures_the_share_from_the_seed():
    first, same, other = (snips.WalshHadamard((8, 8), 0.25, seed) for seed in (3, 3, 4))
    x = pictures((1, 8, 8))
    assert first.forward(x).shape == (3, 1, 1, 16)
    assert torch.equal(first.forward(x), same.forward(x))
    assert not torch.equal(first.forward(x), other.forward(x))
    torch.testing.assert_close(first.forward(x)[..., 0], 8 * x.mean((2, 3))[..., None])


def test_matrix_takes_what_people_have(tmp_path):
    a = dense(7, 24)
    x = pictures((2, 3, 4))
    expected = (x.flatten(1) @ torch.from_numpy(a).T)[:, None, None]
    np.save(tmp_path / "a.npy", a)
    np.savez(tmp_path / "a.npz", a)
    sparse.save_npz(tmp_path / "s.npz", sparse.csr_array(a))
    files = [read_matrix(tmp_path / name) for name in ("a.npy", "a.npz", "s.npz")]
    for matrix in (a, torch.from_numpy(a), sparse.csr_array(a), aslinearoperator(a), *files):
        torch.testing.assert_close(snips.Matrix(matrix, (2, 3, 4)).forward(x), expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: snips.Blur(uniform_kernel(9), (16, 8)), r"kernel \(9×9\) is larger than the picture \(16×8\)"),
        (lambda: snips.Blur(torch.zeros(3, 3), (8, 8)), "not all zero"),
        (lambda: snips.Blur(torch.ones(3), (8, 8)), "a kernel is"),
        (lambda: snips.Blur(torch.ones(3, 3), (8, 0)), "size"),
        (lambda: snips.Downsample((8, 9), 4), "factor 4 does not divide the picture's 8×9"),
        (lambda: snips.Downsample((8, 8), 1), "whole factor from 2 on"),
        (lambda: snips.Downsample((8, 8), 2, "lanczos"), "mean or bicubic"),
        (lambda: snips.Grayscale([1.0]), "two or more channels"),
        (lambda: snips.WalshHadamard((8, 12), 0.5), "powers of two, not 8×12"),
        (lambda: snips.WalshHadamard((8, 8), 0), "share"),
        (lambda: snips.Matrix(dense(4, 10), (1, 3, 4)), "has 12 columns"),
        (lambda: snips.Matrix(dense(4, 10), (3, 3, 4)), "has 12 or 36 columns"),
        (lambda: snips.Matrix(aslinearoperator(sparse.eye_array(65 * 64)), (1, 65, 64)), "up to 4096×4096"),
        (lambda: snips.Matrix(np.full((2, 4), np.nan), (1, 2, 2)), "NaN"),
    ],
)
def test_what_cannot_be_is_named(make, message):
    with pytest.raises(InvalidValue, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"nothing of the kind"])
@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_a_file_that_is_no_matrix(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidValue, match="cannot be read as a matrix"):
        read_matrix(tmp_path / name)
    with pytest.raises(InvalidValue, match="no such file|No such file"):
        read_matrix(tmp_path / "missing.npy")


def test_an_observation_of_another_shape_is_refused():
    for name, (operator, shape) in OPERATORS.items():
        if name in ("identity", "gray", "gray, by hand"):
            continue  # of any size
        wrong = torch.zeros(*(side + 1 for side in operator.forward(pictures(shape)).shape[1:]))
        with pytest.raises(InvalidValue) as caught:
            snips.Observation(wrong, 0.1, operator)
        assert "\n" not in str(caught.value)
    with pytest.raises(InvalidValue, match=r"what this Grayscale gives is \(1, 4, 4\), not \(3, 4, 4\)"):
        snips.Observation(torch.zeros(3, 4, 4), 0.1, snips.Grayscale())


@each
def test_an_observation_knows_the_pictures_shape(name):
    operator, shape = OPERATORS[name]
    assert snips.Observation(operator.forward(pictures(shape))[0], 0.1, operator).image_shape == shape
