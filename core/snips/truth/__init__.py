"""How far a sampler is from a posterior that is known exactly.

gaussian: the law of what a sampler returns, propagated without Monte-Carlo error. distances: what to say of samples.
problems and mcgdiff: priors and observations whose posterior is known. measuring: a sampler on such a problem.
"""

from __future__ import annotations

from snips.truth.distances import sliced_wasserstein, wasserstein, weight_error
from snips.truth.gaussian import propagate, relative_w2
from snips.truth.mcgdiff import mcgdiff
from snips.truth.measuring import Calibrated, Result, calibrate, measure
from snips.truth.problems import CalibrationProblem, Case, KnownProblem, calibration_problems, fields, mixtures

__all__ = [
    "Calibrated",
    "CalibrationProblem",
    "Case",
    "KnownProblem",
    "Result",
    "calibrate",
    "calibration_problems",
    "known_problems",
    "measure",
    "propagate",
    "relative_w2",
    "sliced_wasserstein",
    "wasserstein",
    "weight_error",
]


def known_problems() -> list[KnownProblem]:
    """All but those for calibration."""
    return [*fields(), *mixtures(), *mcgdiff()]
