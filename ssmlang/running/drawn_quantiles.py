"""Quantiles of coming observations whose law is no normal one: counts have no negative ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ssmlang.inference.quick import quickly_compiled
from ssmlang.model import expr
from ssmlang.model.model import Equation, nodes_of
from ssmlang.model.solved_noises import chances, solved
from ssmlang.model.supports import ends_of
from ssmlang.running.chains import ChainMoments
from ssmlang.running.execution import floats
from ssmlang.running.general import GeneralMoments
from ssmlang.running.label_laws import MixedQuantiles, MixedStates

if TYPE_CHECKING:
    from ssmlang.running.moments import Moments

ENOUGH = 4000
"""Draws of each row, over all draws of the parameters: their 5 per cent is one of 4.3 to 5.7, in 19 cases of 20."""
_APART = 0xF0E


class DrawnQuantiles:
    """Quantiles of the coming rows' observations from draws: the states by their moments in each law of a mixture, the
    observations by their own law given these.

    `entries`: positions of the observations' entries that are drawn; of others the moments say enough. Where an
    equation reads what the moments do not tell (a state at a lag, an observation still to come), nothing is drawn, and
    the quantiles of the moments are kept within what the law can give.
    """

    def __init__(self, ready: Moments, laws: int, seed: int) -> None:
        self._spec = spec = solved(ready.model.spec)
        places = _places(spec)
        self._equations = [e for e in spec.equations if e.role == "emission" and _apart(e, spec)]
        self.entries = sorted({places[t.name] + i for e in self._equations for t in e.targets for i in t.entries})
        self._ends = [(places[t.name] + i, ends_of(e.law)) for e in self._equations if e.law is not None
                      for t in e.targets for i in t.entries]  # fmt: skip
        self._mixture = MixedQuantiles(ready) if isinstance(ready, ChainMoments) else None
        self.states = MixedStates(ready) if hasattr(getattr(ready, "own", None), "cumulative_states") else None
        """quantiles of the states, where these are mixtures"""
        self._ready, self._key = ready, jax.random.fold_in(jax.random.key(seed), _APART)
        self._each = -(-ENOUGH // max(laws, 1))
        self._drawn: list[np.ndarray] = []
        # Particles have paths: of discrete states, and of those that what is still to come moves alone, which have no
        # Gaussian law.
        self._follows = hasattr(ready.execution.engine, "trajectories") and not chances(spec)
        self._fits = bool(self.entries) and isinstance(ready, GeneralMoments) and self._told(ready)

    def _told(self, ready: GeneralMoments) -> bool:
        facts = ready.general.facts
        # Moments say nothing of discrete states; particles have paths of them.
        drawn = not facts.discrete or hasattr(ready.execution.engine, "trajectories")
        latent = set(ready.general.latent)
        now = lambda sort, name, lag: not (
            sort in ("noise", "augment") or (sort == "state" and lag != 0) or (sort == "obs" and name in latent)
        )
        reads = [r for e in self._spec.equations if e.role == "emission" for r in expr.references(nodes_of(e))]
        return drawn and (facts.n == facts.N or all(now(*r) for r in reads))

    def add(self, params: Mapping[str, Any], part: Mapping[str, np.ndarray]) -> None:
        """Draw for one law of the mixture, of which `part` has the moments."""
        for mixture in (self._mixture, self.states):
            if mixture is not None:
                mixture.add(params)
        if not self._fits or "cov" not in part or not np.isfinite(part["cov"]).all():
            self._fits = False
            return
        own, seen = jax.random.split(jax.random.fold_in(self._key, len(self._drawn)))
        ready: Any = self._ready
        follows = self._follows or ready.general.facts.discrete
        states = self._paths(params) if follows else self._states(part, own)
        at = ready.first + jnp.arange(states.shape[1])
        made = self._function()(floats(params), ready.series, at, states, seen)
        self._drawn.append(np.asarray(made)[..., self.entries])

    def _states(self, part: Mapping[str, np.ndarray], key: Array) -> Array:
        """(each, rows, n): of each row by itself, from its Gaussian law."""
        variance, vectors = np.linalg.eigh(part["cov"])
        roots = vectors * np.sqrt(np.maximum(variance, 0.0))[:, None, :]
        standard = jax.random.normal(key, (self._each, *part["mean"].shape), part["mean"].dtype)
        return jnp.asarray(part["mean"]) + jnp.einsum("rij,krj->kri", roots, standard)

    def _paths(self, params: Mapping[str, Any]) -> Array:
        """(each, rows, n): the coming rows of paths that particles draw."""
        ready: Any = self._ready
        engine = replace(ready.execution.engine, trajectories=self._each)
        series = ready.execution.seeded(ready.series, 0, len(self._drawn))
        found = ready.execution.compiled("smooth", ready.setting, engine)(floats(params), series)
        return jnp.asarray(found.paths)[:, ready.first : ready.bound.steps]

    def _function(self) -> Any:
        ready: Any = self._ready
        store = vars(ready.execution).setdefault("_drawn_quantiles", {})
        key = (ready.setting.latent, ready.setting.substeps, self._each)
        if key not in store:
            store[key] = quickly_compiled(self._draws)
        return store[key]

    def _draws(self, params: Any, series: Any, at: Array, states: Array, key: Array) -> Array:
        """(each, rows, m): the observations of states (each, rows, n)."""
        general = self._ready.general  # type: ignore[attr-defined]
        steps = next(iter(series["observations"].values())).shape[0]
        program, _ = general.program(params, series["observations"], series["inputs"], steps)
        n, N = program.facts.n, program.facts.N

        def one(t: Array, x: Array, key: Array) -> Array:
            return program.sample_observed(key, t, jnp.concatenate([x, jnp.zeros(N - n)]))  # type: ignore[no-any-return]

        rows = jax.vmap(one)
        return jax.vmap(lambda x, k: rows(at, x, k))(states, jax.random.split(key, (len(states), len(at))))

    def into(self, quantiles: np.ndarray, probabilities: Sequence[float], mean: np.ndarray, sd: np.ndarray
             ) -> np.ndarray:  # fmt: skip
        """`quantiles` (probabilities, rows, m) of moments, with those of the draws in place of them; mean and sd: those
        of the whole mixture, (rows, m)."""
        out = quantiles.copy()
        if self._mixture is not None:
            out = self._mixture.into(out, probabilities, mean, sd)
        if self._fits and self._drawn:
            drawn = np.concatenate(self._drawn)
            # A value that was drawn: a count is a whole number, and its quantiles are.
            out[..., self.entries] = np.quantile(drawn, probabilities, axis=0, method="inverted_cdf")
        for entry, ends in self._ends:
            out[..., entry] = np.clip(out[..., entry], *ends)
        return out


def _places(spec: Any) -> dict[str, int]:
    at, found = 0, {}
    for name, variable in spec.observations.items():
        found[name] = at
        at += variable.size
    return found


def _apart(e: Equation, spec: Any) -> bool:
    """Whether an emission is of another law than a normal one, and of numbers, not labels."""
    named = any(getattr(spec.observations[t.name].values, "axis", None) is not None for t in e.targets)
    return e.law is not None and e.law.name not in ("Normal", "MvNormal") and not named
