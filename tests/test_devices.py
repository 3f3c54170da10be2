"""Devices by name, and kernels compiled for them."""

from __future__ import annotations

import pytest
import torch

import snips
from snips.devices import compiled, resolve_device
from snips.errors import DeviceError


def double(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


def test_compiled_it_is_the_same():
    assert torch.equal(compiled(double, backend="eager")(torch.ones(3)), torch.full((3,), 2.0))


def test_where_nothing_can_be_compiled_it_says_so():
    def no_compiler(graph, inputs):
        raise RuntimeError("no C++ compiler.\nAnd much more.")

    with pytest.raises(DeviceError, match=r"^torch.compile does not work here \(no C\+\+ compiler\); it goes without"):
        compiled(double, backend=no_compiler)(torch.ones(3))


def test_an_error_of_the_call_itself_stays_one():
    def wrong(x):
        return x.reshape(7)

    with pytest.raises(RuntimeError, match="shape"):
        compiled(wrong, backend="eager")(torch.ones(3))


def test_a_run_can_be_compiled(monkeypatch):
    """By the backend that runs the graph as it is, which shows that the denoiser can be traced."""
    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda call, **options: compile(call, backend="eager", **options))
    observed = snips.Observation(torch.rand(3, 16, 16), 0.2)
    plain, traced = (snips.sample(observed, "drunet-small", samples=1, compile=way).samples for way in (False, True))
    assert torch.allclose(plain, traced, atol=1e-4)


@pytest.mark.parametrize("name", ["cuda:99", "nothing"])
def test_a_device_that_is_not_there(name):
    with pytest.raises(DeviceError, match="--device cpu always works"):
        resolve_device(name)
