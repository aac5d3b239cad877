"""W725: a filter that carries one Gaussian is far from Bayes' rule, as a few points of its own laws say."""

from __future__ import annotations

import sys
import warnings
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ssmlang.analysis.engines import REQUIRES
from ssmlang.analysis.general import LINEARISING, lacking
from ssmlang.engines._misfit import misfit
from ssmlang.inference.quick import quickly_compiled
from ssmlang.language.diagnostics import Diagnostic, SsmWarning

if TYPE_CHECKING:
    from ssmlang.engines.nonlinear import Estimated
    from ssmlang.running.general import GeneralExecution

MOST = 8
"""Up to so many states points fill a law, and particles serve instead."""
RELIABLE = 20.0
"""Points that the weight of a row rests on, from which on it says anything"""
NATS, SHIFT = 4.0, 0.5
"""Sum over such rows of what the filter's log-densities are off, beyond four times its own error, and the root mean
square of how far its means are, in standard deviations, that are worth a word."""


def _outside() -> int:
    """How many frames up the caller's own code is: a warning is given once a place, and ours is one for all models."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith("ssmlang."):
        frame, level = frame.f_back, level + 1
    return level


class Judge:
    """Looks at what a filter has found."""

    def __init__(self, execution: GeneralExecution) -> None:
        self.execution = execution
        self._functions: dict[Any, Any] = {}

    @cached_property
    def _able(self) -> bool:
        return self.execution.engine.name in LINEARISING and not lacking(self.execution.model, REQUIRES["particle"])

    def able(self, setting: Any, found: Estimated) -> bool:
        """Whether there is anything to be said: few states that are the whole memory, something that bends."""
        if not self._able or found.predicted_cov is None or found.cov is None:
            return False
        facts = self.execution.general(setting.latent, setting.substeps).facts
        exact = facts.linear and facts.linear_emission and facts.gaussian_emission
        return facts.n == facts.N <= MOST and not exact and not facts.augmented and not setting.latent

    def warn(self, setting: Any, params: Any, series: Any, found: Estimated, steps: int) -> None:
        """W725 where the laws of some rows say so."""
        key = self.execution.key(setting)
        if key not in self._functions:
            lowering = self.execution.general(setting.latent, setting.substeps)

            def judged(params: Any, series: Any, found: Estimated) -> Any:
                from ssmlang.running.execution import steps_of

                return misfit(*lowering.program(params, series["observations"], series["inputs"], steps_of(series)),
                              found)  # fmt: skip

            self._functions[key] = quickly_compiled(judged)
        rows = self._functions[key](params, series, found)
        evidence, shift, ess = (np.asarray(a)[:steps] for a in rows)
        sound = (ess >= RELIABLE) & np.isfinite(evidence) & np.isfinite(shift)
        if not sound.any():
            return
        nats, error = evidence[sound].sum(), np.sqrt((1 / ess[sound]).sum())
        away = float(np.sqrt(np.mean(shift[sound] ** 2)))
        if not (abs(nats) > NATS + 4 * error or away > SHIFT):
            return
        name = self.execution.engine.name
        why = (f"weighted by the observations' own density, points of the laws that it predicts put its means "
               f"{away:.1f} standard deviations away, and its log-likelihood {abs(nats):.0f} too "
               f"{'high' if nats > 0 else 'low'}, in {sound.sum():,} rows in which they can tell")  # fmt: skip
        message = f"one Gaussian is not the law of the states that engine '{name}' filters here"
        warnings.warn(SsmWarning(Diagnostic("W725", message, why=(why,), help=(
            'engine="particle" carries draws; engine="laplace" or engine="importance" where a gradient is wanted',
        ))), stacklevel=_outside())  # fmt: skip
