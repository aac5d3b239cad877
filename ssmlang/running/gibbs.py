"""Fits by particle Gibbs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ssmlang.data import Bound
from ssmlang.engines.conditional_smc import drawn_ahead, renewed
from ssmlang.inference.joint import thinning
from ssmlang.inference.pgibbs import ParticleGibbs
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.model.model import Model as Spec
from ssmlang.running.estimate import Counts, Estimate, States, kept
from ssmlang.running.execution import Params, padded_length
from ssmlang.running.joint import by_series
from ssmlang.running.pilot import centre_by_gradients

if TYPE_CHECKING:
    from ssmlang.compiled import Model

PARTICLES = 64
"""With ancestor sampling the kernel mixes with a few dozens, however long the series (Lindsten, Jordan & Schon 2014,
section 5)."""


def gibbs(model: Model, runner: Any, bounds: Sequence[Bound], counts: Counts, tuned: bool) -> Estimate:
    """Draws of parameters and states. Raises E306 where the states have no density that moves with the parameters."""
    setting = runner.setting(bounds)
    lowering = runner.general(setting.latent, setting.substeps)
    _refuse(model.spec, lowering)
    model.priors.require_proper('method="pgibbs"')
    particles = PARTICLES if tuned else runner.engine.particles
    groups = runner.series(bounds)
    extents = tuple(tuple(next(iter(g["observations"].values())).shape[:2]) for g in groups)
    every = thinning(counts.chains * sum(s * t for s, t in extents) * lowering.facts.N, counts.draws)

    def of_each(params: Params, data: Any, paths: Any, key: Array | None, do: Callable[..., Any]) -> list[Any]:
        """`do(program, y, path, key)` of every series, stacked by group."""
        out = []
        for i, ((count, steps), group) in enumerate(zip(extents, data)):
            own = None if key is None else jax.random.split(jax.random.fold_in(key, i), count)

            def one(each: Any, steps: int = steps) -> Any:
                series, path, key = each
                program, y = lowering.program(params, series["observations"], series["inputs"], steps)
                return do(program, y, path, key)

            each = (group, None if paths is None else paths[i], own)
            if count == 1:
                out.append(one(jax.tree.map(lambda a: a[0], each))[None])
            else:
                out.append(jax.lax.map(one, each))
        return out

    def joint(params: Params, data: Any, paths: Any) -> Array:
        return sum((v.sum() for v in of_each(params, data, paths, None, _log_joint)), jnp.zeros(()))

    renew = lambda params, data, paths, key: of_each(
        params, data, paths, key, lambda program, y, path, key: renewed(program, y, path, key, particles))  # fmt: skip
    ahead = lambda params, data, key: of_each(
        params, data, None, key, lambda program, y, path, key: drawn_ahead(program, len(y), key))  # fmt: skip
    make = lambda: ParticleGibbs(model.priors, joint, renew, ahead, warmup=counts.warmup, every=every)
    sampler = kept(runner, ("pgibbs", setting.latent, setting.substeps, extents, particles, counts.warmup, every), make)
    centre = centre_by_gradients(model, runner, bounds, counts.seed)
    found = sampler.run(groups, None if centre is None else centre[0].unconstrained, draws=counts.draws,
                        chains=counts.chains, seed=counts.seed, progress=counts.progress)  # fmt: skip
    attrs = {"divergences": found.divergences, "interrupted": found.interrupted, "warmup": counts.warmup,
             "particles": particles, "states_renewed": float(np.mean(found.stats["states_renewed"]))}  # fmt: skip
    states = States(by_series(found.derived, bounds, padded_length), every)
    return Estimate(found.params, found.stats, attrs=attrs, states=states)


def _log_joint(program: Any, y: Array, path: Array, key: None) -> Array:
    """log p(states, data | params)."""
    del key
    t = jnp.arange(len(y))
    moves = jax.vmap(program.log_transition)(t[1:], path[:-1], path[1:])
    seen = jax.vmap(program.log_emission)(t, path, y)
    total = program.log_first(path[0]) + jnp.sum(moves) + jnp.sum(seen)
    return jnp.where(program.exists, total, -jnp.inf)


def _refuse(model: Spec, lowering: Any) -> None:
    """E306 where the method cannot be right for a program."""
    bar = lambda span, label, why: SsmError(Diagnostic(
        "E306", 'method="pgibbs" needs states that have a density given the row before', span, label, (why,),
        ('use method="pmmh", which needs none',),
    ))  # fmt: skip
    if lowering.walks or lowering.latent:
        name = next(iter((*lowering.walks, *lowering.latent)))
        span = (model.parameters.get(name) or model.observations[name]).span
        raise bar(span, "is part of the state", "parameters are drawn given the states, not among them")
    if not lowering.facts.density:
        exact = [e for e in model.equations if e.role == "transition" and e.law is None]
        if exact:
            raise bar(exact[0].span, "is exact given the row before",
                      "what is exact, or driven by a named noise, has no density of its own")  # fmt: skip
        first = next(iter(model.states.values()))
        raise bar(first.span, "is read at a lag of two rows or more",
                  "a row before that is part of the state is known exactly")  # fmt: skip
    if not lowering.first_density:
        span = lowering.initials[0].span if lowering.initials else next(iter(model.states.values())).span
        raise bar(span, "has no density at the first row",
                  "a first value that is exact and moves with a parameter, or before row 0, settles it")  # fmt: skip
