"""Pictures, weights and reference outputs that tests may use where they lie beside the checkout; absent for a user."""

from __future__ import annotations

from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[2] / "shared"

SHARED: Path | None = _BESIDE if (_BESIDE / "oracle").is_dir() else None

needs_shared = pytest.mark.skipif(
    SHARED is None, reason="needs the third-party files of ../shared, not beside this checkout"
)
