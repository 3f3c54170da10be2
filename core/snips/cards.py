"""What a plugin says of its parts: plain frozen data, readable without importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from snips.errors import InvalidValue, OptionError, did_you_mean
from snips.interfaces import NoiseLevels


def number(text: str) -> float:
    """A number as people write σ: 0.1 or 25/255. Raises ValueError."""
    top, slash, bottom = text.partition("/")
    return float(top) / float(bottom) if slash else float(top)


_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True, eq=False)
class Option:
    """One keyword of a part's `load`, settable from the command line as `key=value`."""

    name: str
    type: type = str
    """str, int, float (also written 25/255), or bool."""
    default: Any = None
    help: str = ""
    choices: tuple[str, ...] = ()

    def parse(self, value: Any) -> Any:
        """The value as this option's type. Raises OptionError."""
        try:
            if isinstance(value, str) and self.type is not str:
                value = _BOOLEANS[value.lower()] if self.type is bool else number(value)
            if self.type is int and value != int(value):
                raise ValueError
            parsed = value if value is None else self.type(value)
        except (KeyError, TypeError, ValueError, OverflowError, ZeroDivisionError):
            raise OptionError(f"{self.name}={value}: not of type {self.type.__name__}") from None
        if self.choices and parsed not in self.choices:
            raise OptionError(f"{self.name}={value}: one of {', '.join(self.choices)}")
        return parsed


@dataclass(frozen=True, eq=False)
class Card:
    """What every part says of itself. Only the name and the summary are required."""

    name: str
    summary: str
    licence: str = ""
    citation: str = ""
    url: str = ""
    options: tuple[Option, ...] = ()
    expected_failed_checks: Mapping[str, str] | None = None
    """Conformance checks that the part cannot pass, each with the reason."""

    kind = "part"

    def parse(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Checked and converted options. Raises OptionError naming the option, with close matches."""
        known = {option.name: option for option in self.options}
        for name in options:
            if name not in known:
                hint = did_you_mean(name, known) or f"it has {', '.join(known) or 'none'}"
                raise OptionError(f"{self.kind} {self.name} has no option {name}; {hint}")
        try:
            return {name: known[name].parse(value) for name, value in options.items()}
        except OptionError as error:
            raise OptionError(f"{self.kind} {self.name}: {error}") from None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, empty fields left out."""
        data = {f.name: getattr(self, f.name) for f in fields(self)}
        data["options"] = [
            {"name": o.name, "type": o.type.__name__, "default": o.default, "help": o.help, "choices": list(o.choices)}
            for o in self.options
        ]
        data["weights"] = [{f.name: getattr(w, f.name) for f in fields(w)} for w in data.get("weights", ())]
        if isinstance(data.get("noise_levels"), NoiseLevels):
            data["noise_levels"] = {f.name: getattr(data["noise_levels"], f.name) for f in fields(NoiseLevels)}
        return {key: value for key, value in data.items() if value not in ("", (), [], None)}


@dataclass(frozen=True, eq=False)
class WeightsFile:
    """A file of weights that a denoiser can use and `snips weights get` can fetch.

    Raises InvalidValue for a name that cannot be a file's, or a SHA-256 that cannot be one.
    """

    name: str
    url: str
    """Where its authors publish it; the suffix of the stored file is that of the URL."""
    sha256: str = ""
    """In hexadecimal, as published; empty if it is not (then the first file fetched is trusted, and recorded)."""
    licence: str = ""
    size: int | None = None
    """In bytes, where published."""
    summary: str = ""

    def __post_init__(self) -> None:
        if self.name.startswith(".") or not all(c.isalnum() or c in "-_." for c in self.name or "/"):
            raise InvalidValue(f"a file of weights is called by letters, digits, '-', '_' and '.', not {self.name!r}")
        if self.sha256 and (len(self.sha256) != 64 or set(self.sha256) - set("0123456789abcdef")):
            raise InvalidValue(f"weights {self.name}: a SHA-256 has 64 digits 0-9 and a-f, not {self.sha256!r}")

    @property
    def filename(self) -> str:
        """In the store and in a mirror."""
        last = self.url.partition("?")[0].rpartition("/")[2]
        _, dot, suffix = last.rpartition(".")
        return f"{self.name}.{suffix}" if dot else self.name


@dataclass(frozen=True, eq=False)
class DenoiserCard(Card):
    """An MMSE denoiser. `load(device=..., **options)` returns it."""

    kind = "denoiser"
    noise_levels: NoiseLevels | None = None
    """As loaded without options; the loaded denoiser's own are what counts."""
    channels: tuple[int, ...] = ()
    """Numbers of channels it takes, empty for any."""
    extra: str = ""
    """The extra that must be installed, as in snips-toolkit[extra]."""
    weights: tuple[WeightsFile, ...] = ()
    """Published files that it can use, the one for most people first."""

    def __post_init__(self) -> None:
        if not all(isinstance(file, WeightsFile) for file in self.weights):
            raise InvalidValue(f"denoiser {self.name}: its weights are not a tuple of WeightsFile")


@dataclass(frozen=True, eq=False)
class SamplerCard(Card):
    """A posterior sampler. `load(**options)` returns it."""

    kind = "sampler"
    tasks: tuple[str, ...] = ()
    """Tasks it handles, empty for any."""
    couples_rows: bool = False
    """The samples of a picture depend on each other: they run together, and with another number they are others."""


@dataclass(frozen=True, eq=False)
class TrainableCard(Card):
    """A network that `snips train` can train. `load(**options)` returns a Trainable, its weights fresh."""

    kind = "trainable"
    extra: str = ""
    """The extra that must be installed, as in snips-toolkit[extra]."""


@dataclass(frozen=True, eq=False)
class TaskCard(Card):
    """A way in which pictures are degraded. `load(**options)` returns a Task."""

    kind = "task"
    required: tuple[str, ...] = ()
    """Options without which an observed picture cannot be used (a simulated one has defaults)."""
    samplers: tuple[str, ...] = ()
    """Samplers for it, best first."""
