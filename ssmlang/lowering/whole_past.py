"""Sums over the whole past as arrays: a transition or emission as deep as the series is long.

A coefficient is an expression in the row t and in how far back the row is that is read, k = 1..t. It is evaluated for
all of them at once: for every k where it does not depend on t, else for every t and k.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from ssmlang.engines.program import Pattern, Structure
from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.model import expr
from ssmlang.model.affine import PAST
from ssmlang.model.linear import LinearForm
from ssmlang.model.rows import Rows
from ssmlang.model.sparse import Sparse

_FIRST = {"F": 1, "H": 0}
"""The lag of the first matrix of an array."""


@dataclass(frozen=True)
class WholePast:
    """The coefficients of ("past", 0) by the array they belong to, whether rows before 0 have to be kept out, and how
    many rows have an initial law."""

    terms: Mapping[str, Sparse]
    begun: Mapping[str, bool]
    first_rows: int

    @classmethod
    def of(cls, form: LinearForm, transition: Rows, emission: Rows) -> WholePast:
        terms = {n: r.terms["past", 0] for n, r in (("F", transition), ("H", emission)) if ("past", 0) in r.terms}
        # A sum over 1..t ends at row 0. Rows before it are zero in the memory, but for those that `init` gives.
        before = np.array(form.initial.given[1:].any(axis=0))
        return cls(terms, {name: bool(before[m.cols].any()) for name, m in terms.items()}, form.depth)

    def __bool__(self) -> bool:
        return bool(self.terms)

    def lags(self, name: str, base: int, steps: int) -> int:
        """How many matrices the array has in a series of so many rows, `base` without the sums."""
        return max(base, steps - _FIRST[name]) if name in self.terms else base

    def structure(self, base: Structure, steps: int) -> Structure:
        """The structure with the sums, for a series of so many rows."""
        if not self:
            return base
        F, _, H, _ = base.patterns
        deep = {name: self._pattern(name, mask, steps) for name, mask in (("F", F), ("H", H))}
        past_rows = max(self.first_rows, base.noise_rows) - 1
        return replace(base, transition=deep["F"], emission=deep["H"], past_rows=past_rows)

    def _pattern(self, name: str, base: np.ndarray, steps: int) -> Pattern:
        mask = np.zeros((self.lags(name, len(base), steps), *base.shape[1:]), bool)
        mask[: len(base)] = base
        if name in self.terms:
            mask[1 - _FIRST[name] : steps - _FIRST[name]] |= self.terms[name].nonzero
        return Pattern.of(mask)

    def added(self, arrays: Mapping[str, Array], params: Mapping[str, Array], at: Callable[[Array], Environment],
              steps: int) -> dict[str, Array]:  # fmt: skip
        """F and H with the sums. `at` gives what expressions read at a row."""
        return {name: self._added(name, arrays[name], params, at, steps) for name in self.terms}

    def undefined(self, at: Callable[[Array], Environment], steps: int) -> dict[str, Bool[np.ndarray, "T i"]]:
        """Rows of F and H in which a coefficient has no value."""
        return {name: self._undefined(m, at, steps) for name, m in self.terms.items()}

    def _undefined(self, m: Sparse, at: Callable[[Array], Environment], steps: int) -> Bool[np.ndarray, "T i"]:
        rows, found = np.arange(steps), np.zeros((steps, m.shape[0]), bool)
        if steps > 1:
            each = jax.vmap(lambda t: jax.vmap(lambda back: _within(m, at, t, back))(rows[1:]))(rows)
            t, _, i = np.nonzero(np.isnan(np.asarray(each)))
            found[t, m.rows[i]] = True
        return found

    def _added(self, name: str, base: Array, params: Mapping[str, Array], at: Callable[[Array], Environment],
               steps: int) -> Array:  # fmt: skip
        m, first = self.terms[name], _FIRST[name]
        deep = self.lags(name, base.shape[-3], steps)
        out = jnp.pad(base, [(0, 0)] * (base.ndim - 3) + [(0, deep - base.shape[-3]), (0, 0), (0, 0)])
        if steps < 2:
            return out
        k = jnp.arange(1, steps)
        if not expr.varies([m.values]) and not self.begun[name]:
            weigh = lambda back: evaluate([m.values], Environment(params, bound={PAST: back}))[0]
            weights = jax.vmap(weigh)(k)
        else:
            weights = jax.vmap(lambda t: jax.vmap(lambda back: _within(m, at, t, back))(k))(jnp.arange(steps))
            out = jnp.broadcast_to(out, (steps, *out.shape[-3:])) if out.ndim == 3 else out
        rows, cols = np.asarray(m.rows, np.int32), np.asarray(m.cols, np.int32)
        lags = np.arange(1 - first, steps - first, dtype=np.int32)[:, None]
        if weights.ndim == 2 and out.ndim == 4:
            weights = jnp.broadcast_to(weights, (len(out), *weights.shape))
        return out.at[..., lags, rows, cols].add(weights, unique_indices=True)


def _within(m: Sparse, at: Callable[[Array], Environment], t: Array, back: Array) -> Array:
    """The coefficients at row t of the row `back` before it; zero where there is none."""
    inside = back <= t
    # A coefficient need not have a value outside; it is evaluated where it has one, so that no derivative is spoilt.
    row = jnp.maximum(t, 1)
    env = at(row)
    values = evaluate([m.values], replace(env, bound={**env.bound, PAST: jnp.where(inside, back, 1)}))[0]
    return jnp.where(inside, values, 0.0)
