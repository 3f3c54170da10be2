"""Typed reading of TOML: each field of a frozen dataclass says how its value is read. Nothing here imports torch."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from snips.cards import number
from snips.errors import InvalidValue, did_you_mean

T = TypeVar("T")
Reader = Callable[[Any, str], Any]
"""Takes a value as TOML has it, and where it stands; gives what the field holds. Raises InvalidValue."""


def entry(read: Reader, default: Any = MISSING, *, key: str = "") -> Any:
    """A field that is read by `read`, from `key` where that is no name for a field; required without a default."""
    metadata = {"read": read, "key": key}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


def load(path: Path) -> dict[str, Any]:
    """A TOML file. Raises InvalidValue, naming the line."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise InvalidValue(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidValue(f"{path} is no TOML: {error}") from error


def table(cls: type[T]) -> Reader:
    """A table as `cls`. A text stands for a table with the first key alone."""

    def read(value: Any, where: str) -> T:
        known = {f.metadata["key"] or f.name: f for f in fields(cls)}  # type: ignore[arg-type]
        if isinstance(value, str):
            value = {next(iter(known)): value}
        if not isinstance(value, Mapping):
            raise InvalidValue(f"{where}: {value!r} is no table")
        for key in value:
            if key not in known:
                hint = did_you_mean(key, known) or f"there are {', '.join(known)}"
                raise InvalidValue(f"{where}: unknown key {key}; {hint}")
        for key, f in known.items():
            if key not in value and f.default is MISSING and f.default_factory is MISSING:
                raise InvalidValue(f"{where}: {key} is missing")
        given = {f.name: f.metadata["read"](value[key], f"{where}: {key}") for key, f in known.items() if key in value}
        return cls(**given)

    return read


def as_table(value: Any) -> Any:
    """What `table` reads back as this value: empty entries left out."""
    if is_dataclass(value):
        named = {f.metadata["key"] or f.name: as_table(getattr(value, f.name)) for f in fields(value)}
        return {key: item for key, item in named.items() if item is not None and item not in ("", [], {})}
    return [as_table(item) for item in value] if isinstance(value, tuple) else value


def many(read: Reader) -> Reader:
    """A list, or one value alone, as a tuple that is not empty."""

    def read_all(value: Any, where: str) -> tuple[Any, ...]:
        values = value if isinstance(value, list) else [value]
        if not values:
            raise InvalidValue(f"{where}: is empty")
        places = [f"{where} {i}" for i in range(1, len(values) + 1)] if isinstance(value, list) else [where]
        return tuple(read(item, place) for item, place in zip(values, places, strict=True))

    return read_all


def text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidValue(f"{where}: {value!r} is no text")
    return value


def flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidValue(f"{where}: {value!r} is neither true nor false")
    return value


def whole(least: int) -> Reader:
    """A whole number from `least` on."""

    def read(value: Any, where: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InvalidValue(f"{where}: {value!r} is no whole number from {least} on")
        return value

    return read


def either(first: Reader, second: Reader, what: str) -> Reader:
    """What one of two readers takes."""

    def read(value: Any, where: str) -> Any:
        for reader in (first, second):
            try:
                return reader(value, where)
            except InvalidValue:
                continue
        raise InvalidValue(f"{where}: {value!r} is not {what}")

    return read


def choice(*known: str) -> Reader:
    """One of these words."""

    def read(value: Any, where: str) -> str:
        if value not in known:
            hint = did_you_mean(str(value), known) or f"one of {', '.join(known)}"
            raise InvalidValue(f"{where}: {value!r} is not possible; {hint}")
        return str(value)

    return read


def sigma(value: Any, where: str) -> float:
    """A noise level, 0.1 or "25/255", at most 1."""
    try:
        level = number(value) if isinstance(value, str) else float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        level = math.nan
    if isinstance(value, bool) or not 0 < level < math.inf:
        raise InvalidValue(f'{where}: {value!r} is no noise level, such as 0.1 or "25/255"')
    if level > 1:
        raise InvalidValue(f'{where}: {value!r} is over 1, and pictures lie in [0, 1]; did you mean "{value}/255"?')
    return level


def options(value: Any, where: str) -> dict[str, str]:
    """Options of a part, in the words of the command line (`-d key=value`)."""
    if not isinstance(value, Mapping):
        raise InvalidValue(f"{where}: {value!r} is no table of options, such as {{ steps = 20 }}")
    for key, item in value.items():
        if not isinstance(item, (str, int, float)):
            raise InvalidValue(f"{where}: {key} = {item!r} is no text, number, true or false")
    return {key: str(item).lower() if isinstance(item, bool) else str(item) for key, item in value.items()}
