"""What a check says, and how a list of checks is run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

from snips.errors import InvalidValue, SnipsError, SnipsWarning

Outcome = Literal["passed", "failed", "expected failure", "skipped"]


class CheckFailed(SnipsError, AssertionError):
    """A part does not keep to the contract. Says what was expected, what was seen, and what to do."""


class CheckSkipped(Exception):
    """The check does not apply to this part; says why."""


@dataclass(frozen=True)
class Result:
    """What became of one check."""

    name: str
    """The name of the check's function, and the case in brackets: `check_keeps_shape[3]` for 3 channels."""
    outcome: Outcome
    reason: str = ""
    """Why it failed, was expected to fail, or was skipped; empty if it passed."""
    error: Exception | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Check:
    """One check of one part, ready to be called: raises CheckFailed, or whatever the part itself raises."""

    function: str
    case: str
    run: Callable[[], None] = field(repr=False)
    expected: str | None = None
    """Why this part is expected to fail it."""

    @property
    def name(self) -> str:
        return f"{self.function}[{self.case}]" if self.case else self.function

    def __call__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SnipsWarning)
            self.run()

    def result(self) -> Result:
        """Call it. An expected failure that does not happen is a failure, as pytest's strict xfail has it."""
        try:
            self()
        except CheckSkipped as error:
            return Result(self.name, "skipped", str(error))
        except Exception as error:
            if self.expected is not None:
                return Result(self.name, "expected failure", self.expected, error)
            text = str(error) if isinstance(error, CheckFailed) else f"raised {type(error).__name__}: {error}"
            return Result(self.name, "failed", (text.splitlines() or [""])[0], error)
        if self.expected is not None:
            reason = f"expected to fail ({self.expected}) but passed; take it out of expected_failed_checks"
            return Result(self.name, "failed", reason)
        return Result(self.name, "passed")


def run(checks: Iterable[Check], collect: bool) -> list[Result]:
    """The results of all checks if `collect`, else raises CheckFailed at the first failure."""
    results = []
    for check in checks:
        result = check.result()
        if result.outcome == "failed" and not collect:
            raise CheckFailed(f"{result.name}: {result.reason}") from result.error
        results.append(result)
    return results


def expected_reason(function: str, case: str, expected: Mapping[str, str]) -> str | None:
    """The reason given for `check_name`, or for `check_name[case]` alone."""
    return expected.get(f"{function}[{case}]", expected.get(function))


def verify_names(expected: Mapping[str, str], functions: Iterable[str]) -> None:
    """Raises InvalidValue for an expected failure of a check that does not exist."""
    known = list(functions)
    for name in expected:
        function = name.partition("[")[0]
        if function not in known:
            close = get_close_matches(function, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            raise InvalidValue(f"expected_failed_checks names {name}, which is no check; {hint}")


def require(condition: object, message: str) -> None:
    """Raises CheckFailed with the message unless the condition holds."""
    if not condition:
        raise CheckFailed(message)
