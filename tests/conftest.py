"""Fixtures that several test files share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snips.images import write_png


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with a clean gray and a clean colour picture in it."""
    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[:18, :16] / 16
    write_png("gray.png", 0.5 + 0.3 * np.sin(5 * x + 3 * y))
    write_png("colour.png", np.stack([0.5 + 0.3 * np.sin(5 * x + k * y) for k in range(3)]))
    return tmp_path
