"""Fixtures that several test files share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from fileserver import file as file
from fileserver import server as server
from fileserver import unhashed as unhashed
from snips.images import write_png


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with a clean gray and a clean colour picture in it."""
    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[:18, :16] / 16
    write_png("gray.png", 0.5 + 0.3 * np.sin(5 * x + 3 * y))
    write_png("colour.png", np.stack([0.5 + 0.3 * np.sin(5 * x + k * y) for k in range(3)]))
    return tmp_path


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread: with more, oneDNN shares out some convolutions by the batch, and the last bits differ."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
