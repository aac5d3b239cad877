"""Where methods with particles begin, and with how many: a quick look at the posterior by another engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ssmlang.analysis.advice import obstacles
from ssmlang.analysis.engines import AVAILABLE, REQUIRES
from ssmlang.analysis.general_choice import preferred
from ssmlang.data import Bound
from ssmlang.inference.noisy import Target
from ssmlang.inference.optimise import Optimum
from ssmlang.inference.progress import Progress
from ssmlang.inference.smc2 import Smc2
from ssmlang.inference.starts import candidates
from ssmlang.language.diagnostics import SsmError
from ssmlang.running.estimate import kept, optimiser_of
from ssmlang.running.execution import Execution
from ssmlang.running.kinds import execution_of

if TYPE_CHECKING:
    from ssmlang.compiled import Model

VARIANCE = 1.2
"""Of the log-likelihood, at the centre: between the 0.85 and 1.7 at which the cost of an independent draw is least
(Doucet, Pitt, Deligiannidis & Kohn 2015, for good and for bad chains of the exact likelihood)."""
REPLICATES = 40
LEAST, MOST = 64, 65_536
_PILOT = 200
_CANDIDATES = 8


@dataclass(frozen=True)
class Centre:
    """A central point of the posterior on the unconstrained scale, with the covariance around it."""

    z: np.ndarray
    cov: np.ndarray
    how: str
    """The engine that found it, or "smc" """
    draw_prior: Any

    def at(self, z: np.ndarray) -> Centre:
        """The same about another point."""
        return replace(self, z=z)

    def starts(self, chains: int, seed: int, score: Callable[..., tuple[Array, Array]], data: Any) -> list[np.ndarray]:
        """A point for each chain: the best of a few about the centre, wider than the posterior, and of the prior.

        `score`: (prior, likelihood) of points, as `Target.of_points` gives them.
        """
        rng = np.random.default_rng(seed)
        root = np.linalg.cholesky(self.cov)
        near = self.z + 1.5 * rng.standard_normal((chains, _CANDIDATES - 2, len(self.z))) @ root.T
        far = np.asarray(self.draw_prior(jax.random.key(seed), 0))[: 2 * chains].reshape(chains, 2, -1)
        points = np.concatenate([near, far], axis=1)
        prior, likelihood = score(points.reshape(-1, len(self.z)), data, jax.random.key(seed))
        density = np.nan_to_num(np.asarray(prior + likelihood), nan=-np.inf).reshape(chains, _CANDIDATES)
        best = density.argmax(axis=1)
        good = np.isfinite(density[np.arange(chains), best])
        spare = points.reshape(-1, len(self.z))[density.argmax()]
        return [points[i, b] if ok else spare for i, (b, ok) in enumerate(zip(best, good))]


def centre_of(model: Model, runner: Execution, bounds: Sequence[Bound], seed: int) -> Centre:
    """The mode and curvature of the posterior by an engine with gradients; where none has them, a few hundred points
    of SMC with the engine itself."""
    prior = kept(runner, ("pilot", "prior"), lambda: candidates(model.priors, 64))
    found = centre_by_gradients(model, runner, bounds, seed)
    if found is not None:
        return Centre(found[0].unconstrained, found[0].covariance, found[1], prior)
    from ssmlang.running.weighted import noisy_likelihood

    setting = runner.setting(bounds)
    make = lambda: Smc2(model.priors, noisy_likelihood(runner, setting), _PILOT)
    sampler = kept(runner, ("pilot", runner.key(setting)), make)
    data = jax.tree.map(jnp.asarray, runner.series(bounds))
    with Progress("pilot", 100, "off") as bar:
        points = sampler.population(data, jax.random.key(seed), bar).z
    return Centre(points.mean(0), _spread(points), "smc", prior)


def centre_by_gradients(model: Model, runner: Execution, bounds: Sequence[Bound], seed: int
                        ) -> tuple[Optimum, str] | None:  # fmt: skip
    """The mode of the posterior on the unconstrained scale by an engine with gradients, and its name; None where no
    engine finds one with a curvature."""
    for name in _guides(model, runner):
        try:
            guide = runner if name == runner.engine.name else _execution(model, name)
            optimiser = optimiser_of(model, guide, guide.setting(bounds))
            optimum, _, _ = optimiser.laplace(guide.series(bounds), draws=1, chains=1, starts=2, seed=seed)
        except SsmError:
            continue
        if np.isfinite(optimum.unconstrained).all():
            return optimum, name
    return None


def _spread(z: np.ndarray) -> np.ndarray:
    """The covariance of points, their variances alone where it has no full rank."""
    cov = np.cov(z.T).reshape(z.shape[1], z.shape[1])
    try:
        np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        cov = np.diag(np.maximum(z.var(0), 1e-12))
    return cov


def _guides(model: Model, runner: Execution) -> list[str]:
    """Engines whose likelihood has a gradient, exact ones first, then as `auto` has them."""
    if runner.engine.requires.gradients and not runner.engine.requires.random:
        return [runner.engine.name]
    usable = lambda n: (n in AVAILABLE and REQUIRES[n].gradients and not REQUIRES[n].random and not REQUIRES[n].joint
                        and not obstacles(n, model.spec, model.form))  # fmt: skip
    names = dict.fromkeys([*(n for n in AVAILABLE if REQUIRES[n].linear), *preferred(model.spec), *AVAILABLE])
    return [n for n in names if usable(n)][:2]


def _execution(model: Model, name: str) -> Execution:
    from ssmlang.engines import engine_class

    return _of_engine(model, engine_class(name)())


def _of_engine(model: Model, engine: Any) -> Execution:
    """The execution of an engine on a model, made once."""
    store = model._executions
    if engine not in store:
        store[engine] = execution_of(model.spec, model.form, engine)
    return store[engine]


def tuned_particles(model: Model, runner: Execution, bounds: Sequence[Bound], centre: Centre, seed: int, tuned: bool
                    ) -> tuple[Execution, float]:  # fmt: skip
    """The execution with the number of particles, a power of two, at which the log-likelihood at the centre has a
    variance of at most about `VARIANCE`, and that variance; of an engine that draws nothing, itself and 0.

    Unless `tuned`, the engine stays as it is.
    """
    engine = runner.engine
    if not engine.requires.random:
        return runner, 0.0
    counted = is_dataclass(engine) and any(f.name == "particles" for f in fields(engine))
    if not (tuned and counted):
        return runner, _variance(model, runner, bounds, centre, seed)
    tried: dict[int, float] = {}
    particles = _power(getattr(engine, "particles", 256) if "_tuned" in vars(runner) else 256)
    for _ in range(6):
        runner = _of_engine(model, replace(engine, particles=particles))  # type: ignore[type-var]
        vars(runner)["_tuned"] = True
        tried[particles] = _variance(model, runner, bounds, centre, seed)
        # Far from its aim the variance falls faster than 1 / particles: no more than 16 times as many at once.
        wanted = _power(int(particles * min(max(tried[particles] / VARIANCE, 1 / 16), 16)))
        if wanted in tried:
            break
        particles = wanted
    good = [n for n, v in tried.items() if v <= 1.5 * VARIANCE]
    best = min(good) if good else max(tried)
    return _of_engine(model, replace(engine, particles=best)), tried[best]  # type: ignore[type-var]


def _power(particles: int) -> int:
    return int(np.clip(2 ** round(np.log2(max(particles, 1))), LEAST, MOST))


def _variance(model: Model, runner: Execution, bounds: Sequence[Bound], centre: Centre, seed: int) -> float:
    """Of the log-likelihood at the centre, over keys; infinite where it is not always finite."""
    from ssmlang.running.weighted import noisy_likelihood

    setting = runner.setting(bounds)
    make = lambda: jax.jit(Target(model.priors, noisy_likelihood(runner, setting)).replicates)
    replicates = kept(runner, ("replicates", runner.key(setting)), make)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 11), REPLICATES)
    found = np.asarray(replicates(jnp.asarray(centre.z), jax.tree.map(jnp.asarray, runner.series(bounds)), keys))
    return float(found.var(ddof=1)) if np.isfinite(found).all() else np.inf
