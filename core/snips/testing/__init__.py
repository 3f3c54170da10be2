"""The conformance kit: does a denoiser, or a sampler, keep to the contract?

    snips.testing.check_denoiser(denoiser)      # raises CheckFailed at the first failure
    snips.testing.check_sampler("langevin", collect=True)  # or returns every result

and in a plugin's own tests, one line:

    @snips.testing.parametrize_with_checks(["my-denoiser"])
    def test_conformance(check):
        check()

Nothing here needs pytest but `parametrize_with_checks`. All that is random comes from generators of the kit's own.
"""

from __future__ import annotations

from snips.testing.kit import check_denoiser, check_sampler, parametrize_with_checks
from snips.testing.report import Check, CheckFailed, CheckSkipped, Result

__all__ = [
    "Check",
    "CheckFailed",
    "CheckSkipped",
    "Result",
    "check_denoiser",
    "check_sampler",
    "parametrize_with_checks",
]
