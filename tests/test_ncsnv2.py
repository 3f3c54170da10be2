"""NCSNv2: exactly the official networks, through the files in which they come; and our own packaged one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import snips
from oracle import assert_agrees, filled, picture, reference
from shared import needs_shared
from snips.errors import WeightsError
from snips.weights import read_metadata
from snips_plugins.ncsnv2.denoiser import PACKAGED, ncsnv2_denoiser
from snips_plugins.ncsnv2.network import NCSNv2
from snips_plugins.networks import NetworkDenoiser


def official_sigmas(meta: dict[str, Any]) -> Tensor:
    ends = np.log([meta["sigma_begin"], meta["sigma_end"]])
    return torch.from_numpy(np.exp(np.linspace(*ends, meta["num_classes"])).astype(np.float32))


def score(denoiser: snips.MMSEDenoiser, x: Tensor, sigma: Tensor) -> Tensor:
    """In float64, so that x + σ² s − x loses nothing."""
    return snips.score(denoiser, x.double(), sigma.double())


def small(**sizes: Any) -> NCSNv2:
    torch.manual_seed(0)
    return NCSNv2(**{"layout": "NCSNv2", "ngf": 8, "levels": 3} | sizes)


@needs_shared
def test_celeba_through_an_official_checkpoint_whose_ema_wins(tmp_path: Path) -> None:
    card, outputs = reference("ncsnv2_celeba")
    sigmas = official_sigmas(card["meta"])
    ema = filled(card, {"sigmas": sigmas})
    model = {f"module.{name}": torch.ones(()).expand(tensor.shape) for name, tensor in ema.items()}
    model["module.sigmas"] = ema.pop("sigmas")
    path = tmp_path / "checkpoint.pth"
    torch.save([model, {"state": {}, "param_groups": []}, 500, 210000, ema], path)
    denoiser = snips.load_denoiser("ncsnv2", weights=path)
    path.unlink()
    assert denoiser.noise_levels == snips.NoiseLevels(float(sigmas[-1]), 90.0)
    assert denoiser.channels == (3,)
    inputs = {
        "score_y499": (picture(3, 64, 64), [499]),
        "score_y250": (picture(3, 64, 64), [250]),
        "score_batch2": (picture(3, 64, 64, seed=1, rows=2), [3, 400]),
        "score_48x72": (picture(3, 48, 72, seed=2), [499]),
    }
    assert inputs.keys() == outputs.keys()
    for name, (x, levels) in inputs.items():
        assert_agrees(score(denoiser, x, sigmas[levels]), outputs[name])


@needs_shared
def test_deeper_through_a_plain_state_dict(tmp_path: Path) -> None:
    card, outputs = reference("ncsnv2deeper_lsun_bedroom")
    sigmas = official_sigmas(card["meta"])
    path = tmp_path / "state.pth"
    torch.save(filled(card, {"sigmas": sigmas}), path)
    denoiser = snips.load_denoiser("ncsnv2", weights=path)
    path.unlink()
    assert denoiser.noise_levels == snips.NoiseLevels(float(sigmas[-1]), 190.0)
    for name, level in {"score_y1085": 1085, "score_y543": 543}.items():
        assert_agrees(score(denoiser, picture(3, 64, 64), sigmas[[level]]), outputs.pop(name))
    assert not outputs


@needs_shared
def test_deepest() -> None:
    card, outputs = reference("ncsnv2deepest_ffhq")
    sigmas = official_sigmas(card["meta"])
    with torch.device("meta"):
        network = NCSNv2("NCSNv2Deepest", levels=len(sigmas))
    network.load_state_dict(filled(card, {"sigmas": sigmas}), assign=True)
    denoiser = ncsnv2_denoiser(network, snips.NoiseLevels(0.01, 348))
    for name, level in {"score_y2310": 2310, "score_y1155": 1155}.items():
        assert_agrees(score(denoiser, picture(3, 64, 64), sigmas[[level]]), outputs.pop(name))
    assert not outputs


def test_the_network_is_recognised_by_its_tensors(tmp_path: Path) -> None:
    for layout, multiple in {"NCSNv2": 2, "NCSNv2Deeper": 4, "NCSNv2Deepest": 8}.items():
        network = small(layout=layout, ngf=4, channels=1)
        network.sigmas.copy_(torch.tensor([2.0, 1.0, 0.5]))
        torch.save(network.state_dict(), tmp_path / "state.pth")
        denoiser = snips.load_denoiser("ncsnv2", weights=tmp_path / "state.pth")
        assert isinstance(denoiser, NetworkDenoiser)
        assert denoiser.network.multiple == multiple
        assert denoiser.channels == (1,)
        assert denoiser.noise_levels == snips.NoiseLevels(0.5, 2.0)
        assert snips.denoise(denoiser, picture(1, 13, 9), 0.5).shape == (1, 1, 13, 9)


def test_checkpoint_without_ema_and_safetensors_are_read(tmp_path: Path) -> None:
    network = small(channels=1)
    state = {name: tensor for name, tensor in network.state_dict().items() if name != "sigmas"}
    sigmas = torch.tensor([1.0, 0.1])
    torch.save([{f"module.{k}": v for k, v in state.items()} | {"module.sigmas": sigmas}, {}, 1, 2], tmp_path / "a.pth")
    save_file(state, tmp_path / "b.safetensors", {"sigma": "0.1 1.0"})
    x = picture(1, 16, 16)
    for name in ("a.pth", "b.safetensors"):
        denoiser = snips.load_denoiser("ncsnv2", weights=tmp_path / name)
        assert denoiser.noise_levels.low == pytest.approx(0.1)
        torch.testing.assert_close(snips.score(denoiser, x, 0.5), network.eval()(x, torch.tensor([0.5])))


def test_the_packaged_weights_are_what_the_card_says() -> None:
    (card,) = snips.denoisers("ncsnv2")
    denoiser = snips.load_denoiser("ncsnv2")
    assert isinstance(denoiser, NetworkDenoiser)
    assert denoiser.noise_levels == card.noise_levels
    assert denoiser.channels == card.channels
    assert denoiser.device == torch.device("cpu")
    assert not denoiser.network.training
    assert {"title", "licence", "made", "data", "sigma", "step"} <= read_metadata(PACKAGED).keys()
    x = picture(3, 32, 32)
    noisy = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    assert snips.denoise(denoiser, noisy, 0.1).isfinite().all()


@snips.testing.parametrize_with_checks(["ncsnv2"])
def test_conformance(check: Callable[[], None]) -> None:
    check()


def test_the_packaged_network_denoises() -> None:
    from skimage import data

    clean = torch.from_numpy(data.astronaut()[60:124, 180:244]).permute(2, 0, 1)[None].float() / 255
    denoiser = snips.load_denoiser("ncsnv2")
    for sigma in (0.05, 0.1, 0.3, 1.0):
        noisy = clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
        error = (snips.denoise(denoiser, noisy, sigma) - clean).square().mean()
        assert error < 0.5 * sigma**2


SIZES = [(1, 1), (3, 5), (8, 8), (16, 16), (37, 53), (64, 48)]


@pytest.mark.parametrize(
    ("channels", "threads", "sizes"), [(1, 1, SIZES), (3, 1, SIZES), (3, 2, SIZES[3:5])], ids=["gray", "rgb", "threads"]
)
def test_a_row_is_the_same_in_any_batch_bit_for_bit(channels: int, threads: int, sizes: list[tuple[int, int]]) -> None:
    network = small(channels=channels, ngf=24)
    denoiser = ncsnv2_denoiser(network, snips.NoiseLevels(0.01, 1))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for size in sizes:
            x, sigma = picture(channels, *size, rows=5), torch.linspace(0.1, 1, 5)
            together = denoiser.denoise(x, sigma)
            assert together.isfinite().all()
            for rows in ([0], [4], [1, 2]):
                assert torch.equal(denoiser.denoise(x[rows], sigma[rows]), together[rows]), (size, rows)
    finally:
        torch.set_num_threads(before)


def test_sizes_that_are_no_multiple_are_reflected() -> None:
    network = small(layout="NCSNv2Deepest", ngf=4)
    denoiser = ncsnv2_denoiser(network, snips.NoiseLevels(0.01, 1))
    x, sigma = picture(3, 21, 30), torch.tensor([0.5])
    padded = torch.nn.functional.pad(x, (0, 2, 0, 3), "reflect")
    expected = (padded + sigma**2 * network(padded, sigma))[..., :21, :30]
    torch.testing.assert_close(denoiser.denoise(x, sigma), expected)


def test_dtype_input_and_gradients() -> None:
    denoiser = ncsnv2_denoiser(small(), snips.NoiseLevels(0.01, 1))
    x, sigma = picture(3, 16, 16, rows=2), torch.tensor([0.1, 0.7])
    kept = x.clone()
    single = denoiser.denoise(x, sigma)
    for dtype in (torch.float64, torch.bfloat16):
        answer = denoiser.denoise(x.to(dtype), sigma.to(dtype))
        assert answer.dtype == dtype
    double = denoiser.denoise(x.double(), sigma.double())
    torch.testing.assert_close(double, single.double(), rtol=0, atol=1e-6)
    assert torch.equal(x, kept)
    (gradient,) = torch.autograd.grad(denoiser.denoise(x.requires_grad_(), sigma).sum(), x)
    assert gradient.isfinite().all()


def test_wrong_files(tmp_path: Path) -> None:
    network = small()
    network.sigmas.copy_(torch.tensor([1.0, 0.5, 0.1]))
    good = network.state_dict()
    wrong: dict[str, tuple[Any, str]] = {
        "other network": ({"weight": torch.ones(1)}, "not the weights of an NCSNv2"),
        "no tensors": ({"epoch": 1}, "holds no tensors"),
        "empty list": ([], "an empty list"),
        "list of others": ([1, 2, 3], "holds no tensors"),
        "part missing": ({k: v for k, v in good.items() if "refine3.crp" not in k}, "misses refine3.crp"),
        "strange ema": ([good, {}, 1, 2, {"head": torch.ones(1)}], "has besides head"),
        "wrong shape": (good | {"end_conv.bias": torch.ones(5)}, r"end_conv.bias \(5,\) for \(3,\)"),
        "NaN": (good | {"end_conv.bias": torch.tensor([0, 0, float("nan")])}, "end_conv.bias has NaN"),
        "no sigmas": ({k: v for k, v in good.items() if k != "sigmas"}, "does not say which σ"),
        "zero sigmas": (good | {"sigmas": torch.zeros(3)}, "does not say which σ"),
    }
    for data, message in wrong.values():
        torch.save(data, tmp_path / "wrong.pth")
        with pytest.raises(WeightsError, match=message) as caught:
            snips.load_denoiser("ncsnv2", weights=tmp_path / "wrong.pth")
        assert str(caught.value).startswith(str(tmp_path / "wrong.pth"))
        assert "\n" not in str(caught.value)
    with pytest.raises(WeightsError, match="No such file"):
        snips.load_denoiser("ncsnv2", weights=tmp_path / "none.pth")
    save_file({k: v for k, v in good.items() if k != "sigmas"}, tmp_path / "bad.safetensors", {"sigma": "low high"})
    with pytest.raises(WeightsError, match="does not say which σ"):
        snips.load_denoiser("ncsnv2", weights=tmp_path / "bad.safetensors")


def test_the_card_is_read_without_torch() -> None:
    program = "import sys, snips; print([c.name for c in snips.denoisers('ncsnv2')], 'torch' in sys.modules)"
    seen = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert seen.strip() == "['ncsnv2'] False"
