"""W725: one Gaussian is not the law of the states, as a few points or a run of particles say."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ssmlang.analysis.engines import REQUIRES
from ssmlang.analysis.general import LINEARISING, heavy_tailed, lacking
from ssmlang.engines._expansion import bent
from ssmlang.engines._misfit import misfit
from ssmlang.engines.nonlinear import Passing
from ssmlang.inference.quick import quickly_compiled
from ssmlang.language.diagnostics import Diagnostic, SsmError, SsmWarning

if TYPE_CHECKING:
    from ssmlang.compiled import Model
    from ssmlang.data import Bound
    from ssmlang.engines.nonlinear import Estimated
    from ssmlang.running.estimate import Estimate
    from ssmlang.running.execution import Execution
    from ssmlang.running.general import GeneralExecution

MOST = 8
"""Up to so many states points fill a law, and particles serve instead."""
ROWS = 5_000
"""Up to so many rows a run of particles costs no more than the search for a mode."""
PARTICLES = 512
RELIABLE = 20.0
"""Points that the weight of a row rests on, from which on it says anything"""
NATS, SHIFT = 4.0, 0.5
"""What is worth a word: what the log-densities of such rows are off together, beyond four times its own error, or a
likelihood is below that of particles; and the root mean square of how far the means are, in standard deviations."""
OF_PATHS = ("laplace", "importance")


def _outside() -> int:
    """How many frames up the caller's own code is: a warning is given once a place, and ours is one for all models."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith("ssmlang."):
        frame, level = frame.f_back, level + 1
    return level


class Judge:
    """Looks at what an engine has found."""

    def __init__(self, execution: GeneralExecution) -> None:
        self.execution = execution
        self._functions: dict[Any, Any] = {}
        self._asked: Counter[Any] = Counter()

    @cached_property
    def able(self) -> bool:
        """Whether it has ever anything to say of this engine and model."""
        name, model = self.execution.engine.name, self.execution.model
        return name in (*LINEARISING, *OF_PATHS) and not lacking(model, REQUIRES["particle"])

    def look(self, setting: Any, params: Any, series: Any, found: Estimated, bound: Bound, surely: bool = False
             ) -> None:  # fmt: skip
        """W725, of few states that are the whole memory and of something that bends.

        A look takes ten times as long as the filter. Unless `surely`, of data of one shape the first call is looked at,
        the second, the fourth, the eighth: one who calls again and again has been told, or tries many parameters.
        """
        if not self.able or setting.latent:
            return
        if not surely:
            key = self.execution.key(setting)
            self._asked[key] += 1
            if self._asked[key].bit_count() != 1:
                return
        facts = self.execution.general(setting.latent, setting.substeps).facts
        exact = facts.linear and facts.linear_emission and facts.gaussian_emission
        if facts.n > MOST or exact or facts.augmented:
            return
        if self.execution.engine.name in OF_PATHS:
            if bound.steps <= ROWS and (bent(facts) or heavy_tailed(self.execution.model)):
                self._beside_particles(params, found.log_likelihood, bound)
        elif facts.n == facts.N:
            passed = found.passed
            if passed is None and found.predicted_mean is not None and found.predicted_cov is not None:
                assert found.cov is not None
                passed = Passing(found.predicted_mean, found.predicted_cov, found.mean, found.cov, found.log_likelihood)
            if passed is not None:
                self._by_points(setting, params, series, passed, bound.steps)

    def _by_points(self, setting: Any, params: Any, series: Any, passed: Passing, steps: int) -> None:
        """Points of the laws ahead of each row, weighted by what was seen there."""
        key = self.execution.key(setting)
        if key not in self._functions:
            lowering = self.execution.general(setting.latent, setting.substeps)

            def judged(params: Any, series: Any, passed: Passing) -> Any:
                from ssmlang.running.execution import steps_of

                return misfit(*lowering.program(params, series["observations"], series["inputs"], steps_of(series)),
                              passed)  # fmt: skip

            self._functions[key] = quickly_compiled(judged)
        rows = self._functions[key](params, series, passed)
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
        _say(f"one Gaussian is not the law of the states that engine '{name}' filters here", why,
             'engine="particle" carries draws; engine="laplace" or engine="importance" where a gradient is wanted')

    def _beside_particles(self, params: Any, terms: Any, bound: Bound) -> None:
        """A run of particles: its mean likelihood is the likelihood, so that it is seldom much higher, however few they
        are (above c times it with a probability of 1 / c at most, by Markov's inequality)."""
        own = float(np.asarray(terms)[: bound.steps].sum())
        execution = self._particles
        try:
            setting, (series,) = execution.setting([bound]), execution.series([bound])
            drawn = float(execution.compiled("likelihood", setting)(params, (series,)))
        except SsmError:
            return
        if not drawn - own > NATS:
            return
        name = self.execution.engine.name
        why = f"{PARTICLES} particles find a log-likelihood {drawn - own:.0f} higher, and theirs errs to the low side"
        _say(f"the paths that engine '{name}' works from are not where the states are likely", why,
             'engine="particle" carries draws; "ipls" where a gradient is wanted')

    @cached_property
    def _particles(self) -> GeneralExecution:
        from ssmlang.engines import Particle

        return type(self.execution)(self.execution.source, cast(Any, Particle(PARTICLES)))


def look_at(found: Estimate, model: Model, runner: Execution, bound: Bound, dtype: str, device: str | None) -> None:
    """W725 where the engine that gave a fit its likelihood is not to be trusted at the point found, or at the best of
    its draws, by one of the series."""
    judge = getattr(runner, "judge", None)
    if judge is None or not judge.able:
        return
    if found.draws is None:
        assert found.optimum is not None
        params = found.optimum.params
    else:
        best = int(np.argmax(np.ravel(found.stats["lp"]))) if "lp" in found.stats else -1
        params = {n: v.reshape(-1, *v.shape[2:])[best] for n, v in found.draws.items()}
    from ssmlang.running.moments import ready

    with suppress(SsmError):
        one: Any = ready(model, runner, "filter", bound, dtype, device)
        one.judged(params, surely=True)


def _say(message: str, why: str, help: str) -> None:
    warnings.warn(SsmWarning(Diagnostic("W725", message, why=(why,), help=(help,))), stacklevel=_outside())
