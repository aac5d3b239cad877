"""Quantiles of coming observations whose law is no normal one: counts have no negative ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ssmlang.inference.quick import quickly_compiled
from ssmlang.model import expr
from ssmlang.model.model import Equation, nodes_of
from ssmlang.model.supports import ends_of
from ssmlang.running.execution import floats
from ssmlang.running.general import GeneralMoments

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
        spec = ready.model.spec
        places = _places(spec)
        self._equations = [e for e in spec.equations if e.role == "emission" and _apart(e, spec)]
        self.entries = sorted({places[t.name] + i for e in self._equations for t in e.targets for i in t.entries})
        self._ends = [(places[t.name] + i, ends_of(e.law)) for e in self._equations if e.law is not None
                      for t in e.targets for i in t.entries]  # fmt: skip
        self._ready, self._key = ready, jax.random.fold_in(jax.random.key(seed), _APART)
        self._each = -(-ENOUGH // max(laws, 1))
        self._drawn: list[np.ndarray] = []
        self._fits = bool(self.entries) and isinstance(ready, GeneralMoments) and self._told(ready)

    def _told(self, ready: GeneralMoments) -> bool:
        facts = ready.general.facts
        latent = set(ready.general.latent)
        now = lambda sort, name, lag: not (
            sort in ("noise", "augment") or (sort == "state" and lag != 0) or (sort == "obs" and name in latent)
        )
        reads = [r for e in ready.model.spec.equations if e.role == "emission" for r in expr.references(nodes_of(e))]
        return not facts.discrete and (facts.n == facts.N or all(now(*r) for r in reads))

    def add(self, params: Mapping[str, Any], part: Mapping[str, np.ndarray]) -> None:
        """Draw for one law of the mixture, of which `part` has the moments."""
        if not self._fits or "cov" not in part or not np.isfinite(part["cov"]).all():
            self._fits = False
            return
        variance, vectors = np.linalg.eigh(part["cov"])
        roots = vectors * np.sqrt(np.maximum(variance, 0.0))[:, None, :]
        key = jax.random.fold_in(self._key, len(self._drawn))
        ready: Any = self._ready
        at = ready.first + jnp.arange(len(roots))
        made = self._function()(floats(params), ready.series, at, jnp.asarray(part["mean"]), jnp.asarray(roots), key)
        self._drawn.append(np.asarray(made)[..., self.entries])

    def _function(self) -> Any:
        ready: Any = self._ready
        store = vars(ready.execution).setdefault("_drawn_quantiles", {})
        key = (ready.setting.latent, ready.setting.substeps, self._each)
        if key not in store:
            store[key] = quickly_compiled(self._draws)
        return store[key]

    def _draws(self, params: Any, series: Any, at: Array, mean: Array, roots: Array, key: Array) -> Array:
        """(each, rows, m): of each row by itself."""
        general = self._ready.general  # type: ignore[attr-defined]
        steps = next(iter(series["observations"].values())).shape[0]
        program, _ = general.program(params, series["observations"], series["inputs"], steps)
        n, N = program.facts.n, program.facts.N

        def one(t: Array, mean: Array, root: Array, key: Array) -> Array:
            own, seen = jax.random.split(key)
            x = mean + root @ jax.random.normal(own, (n,), mean.dtype)
            return program.sample_observed(seen, t, jnp.concatenate([x, jnp.zeros(N - n)]))  # type: ignore[no-any-return]

        rows = jax.vmap(one)
        keys = jax.random.split(key, (self._each, len(at)))
        return jax.vmap(lambda k: rows(at, mean, roots, k))(keys)

    def into(self, quantiles: np.ndarray, probabilities: Sequence[float]) -> np.ndarray:
        """`quantiles` (probabilities, rows, m) of moments, with those of the draws in place of them."""
        out = quantiles.copy()
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
