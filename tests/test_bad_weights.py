"""What every denoiser that reads weights says of a file that holds none of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import snips
from snips.errors import MissingExtra, WeightsError

NAMES = [card.name for card in snips.denoisers() if any(option.name == "weights" for option in card.options)]

OTHER = {name: tensor.contiguous() for name, tensor in nn.Linear(3, 2).state_dict().items()}


def write(kind: str, folder: Path) -> Path:
    """A file that is wrong in this way."""
    path = folder / f"{kind}_25.pth"
    saved: dict[str, Any] = {
        "another network": OTHER,
        "another network, wrapped": {"state_dict": {f"module.{name}": t for name, t in OTHER.items()}, "epoch": 3},
        "nothing": {},
        "a tensor": torch.ones(3),
        "numbers": [1, 2, 3],
    }
    if kind in saved:
        torch.save(saved[kind], path)
    elif kind == "another network, safetensors":
        save_file(OTHER, path)
    elif kind == "text":
        path.write_text("<html>404</html>")
    elif kind == "empty":
        path.touch()
    elif kind == "a folder":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "another network",
        "another network, wrapped",
        "another network, safetensors",
        "nothing",
        "a tensor",
        "numbers",
        "text",
        "empty",
        "a folder",
        "missing",
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_not_its_own_is_one_line_that_names_it(name: str, kind: str, tmp_path: Path) -> None:
    path = write(kind, tmp_path)
    try:
        with pytest.raises(WeightsError) as caught:
            snips.load_denoiser(name, weights=str(path))
    except MissingExtra as error:
        pytest.skip(str(error))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


def test_there_are_denoisers_that_read_weights() -> None:
    assert {"dncnn", "fdncnn", "ffdnet", "ircnn", "drunet", "bfcnn", "ncsnv2", "spandrel", "timm"} <= set(NAMES)
