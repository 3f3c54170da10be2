"""What a run of a study did, in cells and seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace

from snips_cli.study.cells import Outcome


@dataclass(frozen=True)
class Tally:
    """Sums over the cells of one run."""

    done: int = 0
    failed: int = 0
    seconds: float = 0.0
    """In cells, over all workers."""
    denoiser: float = 0.0
    sampling: float = 0.0
    """The denoiser's within it."""
    measuring: float = 0.0
    writing: float = 0.0
    """Putting cells in their places."""

    def add(self, outcome: Outcome, writing: float) -> Tally:
        if outcome.failed:
            return replace(self, failed=self.failed + 1, writing=self.writing + writing)
        of = outcome.columns
        return replace(
            self,
            done=self.done + 1,
            seconds=self.seconds + of["seconds"],
            denoiser=self.denoiser + of["seconds_denoiser"],
            sampling=self.sampling + of["seconds_sampling"],
            measuring=self.measuring + of["seconds_measuring"],
            writing=self.writing + writing,
        )

    def shares(self) -> dict[str, float]:
        """Of the time in cells and writing: samplers without the denoiser, measuring, and what the study itself costs.

        machinery_over_denoiser is that last part over the denoiser's time.
        """
        machinery = max(self.seconds - self.sampling - self.measuring, 0) + self.writing
        return {
            "seconds": self.seconds + self.writing,
            "denoiser": self.denoiser,
            "sampling": self.sampling,
            "measuring": self.measuring,
            "machinery": machinery,
            "machinery_over_denoiser": machinery / self.denoiser if self.denoiser else float("nan"),
        }
