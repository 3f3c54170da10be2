"""What can go wrong, by name. A message is one line: what is wrong, with what, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable


class SnipsError(Exception):
    """Any expected failure. `exit_code` is what the command line ends with: 1 failed, 2 wrong usage."""

    exit_code = 1


class SnipsWarning(UserWarning):
    """A run goes on, but not as asked for in every respect."""


class InvalidValue(SnipsError, ValueError):
    """A value that cannot be used: a σ, a shape, a number of samples."""

    exit_code = 2


class NoiseLevelError(InvalidValue):
    """A σ outside what the denoiser is made for."""


class OptionError(InvalidValue):
    """An option that a part does not have, or a value of the wrong type."""


class UnsupportedOperator(InvalidValue):
    """The sampler cannot handle this observation operator."""


class NotAffine(SnipsError):
    """The law of what a sampler returns cannot be propagated exactly: one of its steps is not affine."""


class UnknownName(SnipsError, LookupError):
    """No denoiser, sampler or task of this name."""

    exit_code = 2


class PluginError(SnipsError):
    """A plugin that cannot be loaded, or that does not keep to the contract."""


class MissingExtra(SnipsError, ImportError):
    """An optional dependency is not installed."""


class DeviceError(SnipsError):
    """The device asked for is not there."""


class ImageError(SnipsError):
    """A picture that cannot be read or used."""


class WeightsError(SnipsError):
    """A file of weights that cannot be read, or that belongs to another network."""


class MissingWeights(WeightsError):
    """A denoiser that comes without weights was given none."""


class CheckpointError(SnipsError):
    """A checkpoint that cannot be read, or that belongs to another run."""


class OutputError(SnipsError):
    """A folder or file that cannot be written."""


class Diverged(SnipsError, ArithmeticError):
    """A sampler arrived at NaN or infinity."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint at the known names that are close to this one, or nothing."""
    import difflib  # only when something is misspelt: starting `snips` should cost little

    close = difflib.get_close_matches(name, list(known), 2)
    return f"did you mean {' or '.join(close)}?" if close else ""
