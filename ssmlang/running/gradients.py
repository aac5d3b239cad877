"""Fits that follow gradients: NUTS and variational inference, of parameters alone or together with the states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ssmlang.data import Bound
from ssmlang.inference.nuts import Draws, Nuts
from ssmlang.inference.svi import Svi
from ssmlang.running.estimate import Counts, Estimate, States, kept, small
from ssmlang.running.execution import padded_length
from ssmlang.running.joint import Together, by_series, joint
from ssmlang.running.weighted import noisy_likelihood

if TYPE_CHECKING:
    from ssmlang.compiled import Model

STEPS = 4
"""Steps of variational inference for each round of `warmup`."""
_CAREFUL = 0.95
"""The acceptance aimed at with the states among the unknowns: where a scale of theirs is small, space is narrow."""
BIASED = (
    'gradients through a particle filter leave out how resampling moves with the parameters; compare with method="pmmh"'
)


def by_nuts(model: Model, runner: Any, bounds: Sequence[Bound], counts: Counts) -> Estimate:
    """Draws by NUTS; with the engine `latent` of the states too."""
    how = {"draws": counts.draws, "seed": counts.seed, "progress": counts.progress}
    if not runner.engine.requires.joint:
        setting = runner.setting(bounds)
        quick = small(runner, bounds)
        make = lambda: Nuts(model.priors, runner.likelihood(setting, adjoint=True), warmup=counts.warmup,
                            chains=counts.chains, small=quick)  # fmt: skip
        sampler = kept(runner, ("nuts", runner.key(setting), counts.warmup, counts.chains, quick), make)
        found = sampler.run(runner.series(bounds), **how)
        return Estimate(found.params, found.stats, attrs=_of_nuts(found, counts))
    together = Together(runner, bounds)
    every = together.every(counts.draws, counts.chains)
    make = lambda: Nuts(joint(model, together), together.log_density, warmup=counts.warmup, chains=counts.chains,
                        derive=together.paths, every=every, target_accept=_CAREFUL)  # fmt: skip
    sampler = kept(runner, ("nuts", together.key, counts.warmup, counts.chains, every), make)
    found = sampler.run(together.data, **how)
    states = States(by_series(found.derived, bounds, padded_length), every)
    return Estimate(found.params, found.stats, attrs=_of_nuts(found, counts), states=states)


def _of_nuts(found: Draws, counts: Counts) -> dict[str, Any]:
    return {"divergences": found.divergences, "interrupted": found.interrupted, "warmup": counts.warmup}


def by_svi(model: Model, runner: Any, bounds: Sequence[Bound], counts: Counts) -> Estimate:
    """Draws of the normal law that variational inference fits, on the unconstrained scale."""
    steps = STEPS * counts.warmup
    how = {"draws": counts.draws, "chains": counts.chains, "seed": counts.seed, "progress": counts.progress}
    states = None
    if runner.engine.requires.joint:
        together = Together(runner, bounds)
        density = lambda params, data, key: together.log_density(params, data)
        make = lambda: Svi(joint(model, together), density, steps=steps, derive=together.paths)
        found = kept(runner, ("svi", together.key, steps), make).run(together.data, **how)
        every = together.every(counts.draws, counts.chains)
        derived = [np.asarray(d)[:, ::every] for d in found.draws.derived]
        states = States(by_series(derived, bounds, padded_length), every)
    else:
        setting = runner.setting(bounds)
        make = lambda: Svi(model.priors, noisy_likelihood(runner, setting, adjoint=True), steps=steps)
        found = kept(runner, ("svi", runner.key(setting), steps), make).run(runner.series(bounds), **how)
    said: dict[str, Any] = {"elbo": float(found.elbo[-1]), "elbo_curve": found.elbo.tolist(), "steps": steps,
                            "family": found.family, "converged": found.converged}  # fmt: skip
    if runner.engine.requires.random:
        said["warning"] = BIASED
    return Estimate(found.draws.params, found.draws.stats, attrs=said, states=states)
