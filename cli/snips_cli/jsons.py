"""Plain data for JSON files and `--json`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """The same as JSON can say it: NaN and infinity become null, tuples lists, anything unknown its text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def dumps(value: Any) -> str:
    import json

    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
