"""Fits that need the value of a likelihood alone: `pmmh` and `smc2`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.special import logsumexp

from ssmlang.data import Bound
from ssmlang.inference.noisy import NoisyLikelihood
from ssmlang.inference.pmmh import Pmmh
from ssmlang.inference.progress import Progress
from ssmlang.inference.smc2 import MOST_TEMPERATURES, Smc2
from ssmlang.running.estimate import Counts, Estimate, kept
from ssmlang.running.execution import Execution, Params, Setting
from ssmlang.running.pilot import Centre, centre_of, tuned_particles

if TYPE_CHECKING:
    from ssmlang.compiled import Model

NOISY = 3.0
"""A variance of the log-likelihood beyond which a chain sticks (Doucet, Pitt, Deligiannidis & Kohn 2015)."""


def noisy_likelihood(runner: Execution, setting: Setting, *, adjoint: bool = False) -> NoisyLikelihood:
    """log p(data | params) as a function of a key too, which an engine that draws makes its keys from."""
    of_data = runner.likelihood(setting, adjoint=adjoint)

    def found(params: Params, data: Any, key: Array) -> Array:
        return of_data(params, with_keys(data, key) if runner.engine.requires.random else data)

    return found


def with_keys(data: Any, key: Array) -> Any:
    """The series with keys of their own, made from one."""
    out = []
    for i, group in enumerate(data):
        count = next(iter(group["observations"].values())).shape[0]
        keys = jax.random.split(jax.random.fold_in(key, i), count)
        out.append({**group, "draw": {"key": jax.random.key_data(keys)}})
    return tuple(out)


def weighted(model: Model, runner: Execution, bounds: Sequence[Bound], method: str, counts: Counts, tuned: bool
             ) -> Estimate:  # fmt: skip
    """Draws by `pmmh` or `smc2`, with a number of particles that keeps the likelihood's noise in bounds."""
    model.priors.require_proper(f'method="{method}"')
    centre = centre_of(model, runner, bounds, counts.seed)
    runner, variance = tuned_particles(model, runner, bounds, centre, counts.seed, tuned)
    return (_pmmh if method == "pmmh" else _smc2)(model, runner, bounds, counts, centre, variance, tuned)


def _said(runner: Execution, variance: float) -> dict[str, Any]:
    """What is said of the particles."""
    if not runner.engine.requires.random:
        return {}
    said: dict[str, Any] = {"particles": getattr(runner.engine, "particles", None), "log_likelihood_variance": variance}
    if variance > NOISY:
        said["warning"] = (f"the log-likelihood has variance {variance:.3g} at the centre of the posterior: "
                           "chains stick; take more particles")  # fmt: skip
    return {k: v for k, v in said.items() if v is not None}


def pmmh_of(model: Model, runner: Execution, setting: Setting) -> Pmmh:
    return kept(runner, ("pmmh", runner.key(setting)), lambda: Pmmh(model.priors, noisy_likelihood(runner, setting)))


def _pmmh(model: Model, runner: Execution, bounds: Sequence[Bound], counts: Counts, centre: Centre, variance: float,
          tuned: bool) -> Estimate:  # fmt: skip
    title = f"pmmh: {counts.chains} x ({counts.warmup} + {counts.draws})"
    with jax.enable_x64(True), Progress(title, counts.chains * (counts.warmup + counts.draws), counts.progress) as bar:
        bar.say("compiling")
        data = jax.tree.map(jnp.asarray, runner.series(bounds))
        sampler = pmmh_of(model, runner, runner.setting(bounds))
        keys = jax.random.split(jax.random.fold_in(jax.random.key(counts.seed), 10), counts.chains)
        points = centre.starts(counts.chains, counts.seed, sampler.score, data)
        walkers = [sampler.begin(z, centre.cov, key, counts.warmup, data) for z, key in zip(points, keys)]
        early = counts.warmup // 2
        if early:
            walkers = sampler.warmed(walkers, data, early, bar)
            # The centre found by an approximation need not be that of the posterior.
            middle = centre.at(np.mean([np.asarray(w.mean) for w in walkers], axis=0))
            runner, variance = tuned_particles(model, runner, bounds, middle, counts.seed + 1, tuned)
            sampler = pmmh_of(model, runner, runner.setting(bounds))
            walkers = [sampler.restarted(w, data) for w in walkers]
        if counts.warmup - early:
            walkers = sampler.warmed(walkers, data, counts.warmup - early, bar)
        found, _ = sampler.run(walkers, data, counts.draws, bar, "sampling")
    attrs = {"interrupted": found.interrupted, "warmup": counts.warmup, "started_from": centre.how,
             "acceptance_rate": float(found.stats["acceptance_rate"].mean()), **_said(runner, variance)}  # fmt: skip
    return Estimate(found.params, found.stats, attrs=attrs, runner=runner)


def _smc2(model: Model, runner: Execution, bounds: Sequence[Bound], counts: Counts, centre: Centre, variance: float,
          tuned: bool) -> Estimate:  # fmt: skip
    del centre, tuned
    setting = runner.setting(bounds)
    make = lambda: Smc2(model.priors, noisy_likelihood(runner, setting), counts.draws)
    sampler = kept(runner, ("smc2", runner.key(setting), counts.draws), make)
    found, populations = sampler.run(runner.series(bounds), chains=counts.chains, seed=counts.seed,
                                     progress=counts.progress)  # fmt: skip
    each = np.array([p.log_evidence for p in populations])
    evidence = float(logsumexp(each) - np.log(len(each)))
    attrs: dict[str, Any] = {"log_evidence": evidence, "log_evidence_of_chains": each.tolist(),
                             "temperatures": list(populations[0].temperatures),
                             "acceptance_rate": float(np.mean([p.acceptance for p in populations])),
                             **_said(runner, variance)}  # fmt: skip
    if len(populations[0].temperatures) > MOST_TEMPERATURES:
        attrs["warning"] = "the temperature's last step was a leap: the likelihood is too noisy for so few particles"
    if len(each) > 1:  # of the mean of the evidences, on the scale of logarithms
        attrs["log_evidence_se"] = float(np.std(np.exp(each - evidence), ddof=1) / np.sqrt(len(each)))
    return Estimate(found.params, found.stats, attrs=attrs, runner=runner)
