"""Files of weights: good ones are read, hostile, damaged and wrong ones end in one line."""

from __future__ import annotations

import argparse
import collections
import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from snips import weights
from snips.errors import WeightsError


class Hostile:
    """Leaves a file behind when it is unpickled the ordinary way."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


class Harmless:
    pass


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(WeightsError) as caught:
        weights.read_weights(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message


@pytest.fixture
def linear() -> nn.Linear:
    return nn.Linear(3, 2)


def test_reads_what_was_saved_in_every_format(tmp_path: Path, linear: nn.Linear) -> None:
    state = linear.state_dict()
    torch.save(state, tmp_path / "new.pth")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "a.safetensors", {"sigma": "0.01 1.0"})
    (tmp_path / "renamed.pth").write_bytes((tmp_path / "a.safetensors").read_bytes())
    for name in ("new.pth", "old.pth", "a.safetensors", "renamed.pth"):
        read = weights.read_weights(tmp_path / name)
        assert read.keys() == state.keys()
        assert all(torch.equal(read[key], state[key]) for key in state)
    assert weights.read_metadata(tmp_path / "renamed.pth") == {"sigma": "0.01 1.0"}
    assert weights.read_metadata(tmp_path / "new.pth") == {}


def test_reads_nested_plain_data(tmp_path: Path, linear: nn.Linear) -> None:
    saved = [{"module.weight": torch.ones(2)}, {"lr": 0.1}, 3, None, collections.OrderedDict(a=torch.zeros(1))]
    torch.save(saved, tmp_path / "list.pth")
    read = weights.read_weights(tmp_path / "list.pth")
    assert read[1:4] == saved[1:4]
    assert torch.equal(read[0]["module.weight"], torch.ones(2))


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle-2", "pickle-4"])
def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path: Path, kind: str) -> None:
    path, trace = tmp_path / "hostile.pth", tmp_path / "trace"
    data = {"weight": torch.ones(2), "bias": Hostile(trace)}
    if kind.startswith("pickle"):
        path.write_bytes(pickle.dumps(Hostile(trace), protocol=int(kind[-1])))
    else:
        torch.save(data, path, _use_new_zipfile_serialization=kind == "zip")
    message = refusal(path)
    assert not trace.exists()
    if kind != "pickle-4":
        assert "would run code (posix.mkdir)" in message
    if kind in ("pickle-2", "pickle-4"):
        pickle.loads(path.read_bytes())
        assert trace.exists()  # the trap works, it was only not sprung


def test_whole_modules_and_unknown_classes_are_refused_by_name(tmp_path: Path, linear: nn.Linear) -> None:
    torch.save(linear, tmp_path / "module.pth")
    assert "torch.nn.modules.linear.Linear" in refusal(tmp_path / "module.pth")
    torch.save({"a": Harmless()}, tmp_path / "class.pth")
    assert "Harmless" in refusal(tmp_path / "class.pth")


def test_safe_globals_let_in_what_they_name(tmp_path: Path) -> None:
    path = tmp_path / "namespace.pth"
    torch.save({"args": argparse.Namespace(depth=3), "model": [{"w": torch.ones(2)}]}, path)
    assert "argparse.Namespace" in refusal(path)
    assert weights.read_weights(path, [argparse.Namespace])["args"].depth == 3
    assert "argparse.Namespace" in refusal(path)  # only that once


@pytest.mark.parametrize("kind", ["new.pth", "old.pth", "a.safetensors"])
@pytest.mark.parametrize("share", [0.0005, 0.01, 0.5, 0.98])
def test_truncated(tmp_path: Path, kind: str, share: float) -> None:
    whole, path = tmp_path / "whole", tmp_path / kind
    state = {"weight": torch.randn(3000)}
    if kind.endswith("safetensors"):
        save_file(state, whole)
    else:
        torch.save(state, whole, _use_new_zipfile_serialization=kind == "new.pth")
    content = whole.read_bytes()
    path.write_bytes(content[: max(int(share * len(content)), 1)])
    assert "cut short" in refusal(path)


def test_empty_missing_folder(tmp_path: Path) -> None:
    (tmp_path / "empty.pth").touch()
    assert "is empty" in refusal(tmp_path / "empty.pth")
    assert "No such file" in refusal(tmp_path / "missing.pth")
    assert "Is a directory" in refusal(tmp_path)
    for function in (weights.read_metadata, weights.file_sha256):
        with pytest.raises(WeightsError, match="No such file"):
            function(tmp_path / "missing.safetensors")


def test_not_weights_at_all(tmp_path: Path) -> None:
    pages = {"page.pth": b"<!DOCTYPE html><html>not found</html>", "zeros.pth": bytes(4096), "text.safetensors": b"{}"}
    for name, content in pages.items():
        (tmp_path / name).write_bytes(content)
        assert "not a file of weights" in refusal(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "archive.pth", "w") as archive:
        archive.writestr("readme", "hello")
    assert "not a file of weights" in refusal(tmp_path / "archive.pth")


def test_too_large_for_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.pth"
    path.touch()
    os.truncate(path, int(weights.physical_memory()) + (1 << 30))  # with a hole: it takes no room
    assert re.search(r"[\d.]+ GB, and this machine has [\d.]+ GB of memory", refusal(path))
    torch.save({"weight": torch.ones(2)}, path)
    monkeypatch.setattr(torch, "load", lambda *_, **__: torch.empty(1 << 50))
    assert "not enough memory left" in refusal(path)


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert weights.file_sha256(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_as_state_finds_the_tensors(linear: nn.Linear) -> None:
    state = linear.state_dict()
    assert weights.as_state(state, "x").keys() == state.keys()
    assert weights.as_state({"epoch": 3, "state_dict": state}, "x").keys() == state.keys()
    ema = {name: tensor + 1 for name, tensor in state.items()}
    averaged = weights.as_state({"params": state, "params_ema": ema, "epoch": 3}, "x")
    assert torch.equal(averaged["weight"], ema["weight"])
    for data in ({}, [state], {"epoch": 3}, {"weight": torch.ones(1), "epoch": 3}, {1: torch.ones(1)}, None):
        with pytest.raises(WeightsError, match=r"^file\.pth: holds no tensors"):
            weights.as_state(data, "file.pth")


def test_strip_prefix() -> None:
    one = torch.ones(1)
    assert list(weights.strip_prefix({"module.a.module.b": one, "c": one})) == ["a.module.b", "c"]


def test_load_into_puts_the_weights_in(linear: nn.Linear) -> None:
    state = {"weight": torch.full((2, 3), 2.0), "bias": torch.full((2,), 3.0)}
    weights.load_into(linear, state, "file.pth")
    assert torch.equal(linear(torch.ones(1, 3)), torch.full((1, 2), 9.0))


def test_load_into_forgives_missing_counters() -> None:
    norm = nn.BatchNorm2d(2)
    state = {name: tensor for name, tensor in norm.state_dict().items() if name != "num_batches_tracked"}
    weights.load_into(norm, state, "file.pth")


def test_load_into_says_what_does_not_fit() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    with pytest.raises(WeightsError) as caught:
        weights.load_into(network, {"0.weight": torch.ones(9, 3), "head": torch.ones(1)}, "file.pth")
    assert str(caught.value) == (
        "file.pth: not the weights of Sequential: misses 0.bias, 1.weight, 1.bias and 2 more; has besides head; "
        "has other shapes 0.weight (9, 3) for (2, 3)"
    )


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_load_into_refuses_what_is_not_finite(linear: nn.Linear, bad: float) -> None:
    before = linear.weight.detach().clone()
    with pytest.raises(WeightsError, match=r"^file\.pth: bias has NaN or infinite values"):
        weights.load_into(linear, {"weight": torch.ones(2, 3), "bias": torch.tensor([0.0, bad])}, "file.pth")
    assert torch.equal(linear.weight, before)


def test_network_from_draws_no_random_numbers() -> None:
    state = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    network = weights.network_from(lambda: nn.Linear(3, 2), state, "file.pth")
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(network.weight, state["weight"])
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
