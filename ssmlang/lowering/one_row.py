"""The program of a single row, from what came with it and with the few rows before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ssmlang.engines.online import no_initial_law
from ssmlang.engines.program import Initial, LinearGaussian
from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.lowering.gaussian import GaussianLowering
from ssmlang.model import expr

Window = Mapping[tuple[str, str], Float[Any, "rows *shape"]]
"""By ("obs" or "input", name): the values of this row, of the row before, ..., NaN where missing."""


class Lacking(NamedTuple):
    """Which equations need a number that is missing."""

    transition: Bool[Array, " n"]
    emission: Bool[Array, " m"]


class OneRow:
    """The road from parameters and a window of rows to the numbers of one row.

    `rows`: how many rows of each series the equations read, this one included; none are kept of a series that no
    equation reads. Not for sums over the whole past.
    """

    def __init__(self, lowering: GaussianLowering) -> None:
        if lowering.past:
            raise ValueError("a sum over the whole past reads more rows than any window has")
        self.lowering = lowering
        self._plans = list(lowering.plans.items())
        self._moving = [(name, p) for name, p in self._plans if p.varies]
        self.rows: dict[tuple[str, str], int] = {}
        nodes = [p.varying for _, p in self._moving]
        for sort, name, lag in expr.references([*nodes, *lowering.start.nodes]):
            if sort in ("obs", "input"):
                if not isinstance(lag, int):
                    raise ValueError("a sum over the whole past reads more rows than any window has")
                self.rows[sort, name] = max(self.rows.get((sort, name), 1), lag + 1)
        start = expr.references(lowering.start.nodes)
        self.start_reads = tuple(dict.fromkeys((s, n) for s, n, _ in start if s in ("obs", "input")))
        """Series that the law of the first memory reads."""

    def fixed(self, params: Mapping[str, Array]) -> dict[str, Array]:
        """The arrays of the program with what is the same in every row, zero elsewhere."""
        values = evaluate([p.fixed for _, p in self._plans], Environment(params))
        return {name: _placed(jnp.zeros(p.shape), p.fixed_at, v) for (name, p), v in zip(self._plans, values)}

    def program(self, params: Mapping[str, Array], fixed: Mapping[str, Array], window: Window, t: Array
                ) -> LinearGaussian:  # fmt: skip
        """The program with the numbers of row t, and no initial law."""
        values = evaluate([p.varying for _, p in self._moving], self._at(params, window, t, 0.0))
        moved = {name: _placed(fixed[name], p.varying_at, v) for (name, p), v in zip(self._moving, values)}
        structure = self.lowering.structure
        arrays: dict[str, Any] = {**fixed, **moved}
        return LinearGaussian(**arrays, initial=no_initial_law(structure), structure=structure)

    def initial(self, params: Mapping[str, Array], window: Window) -> Initial:
        """The law of the first memory; `window` is that of row 0."""
        return self.lowering.start.initial(params, self._at(params, window, jnp.asarray(0), 0.0))

    def initial_lacks(self, params: Mapping[str, Array], window: Window) -> Bool[Array, ""]:
        """Whether the law of the first memory needs something that is missing."""
        values = evaluate(self.lowering.start.nodes, self._at(params, window, jnp.asarray(0), jnp.nan))
        return jnp.any(jnp.array([jnp.isnan(v).any() for v in values]))

    def lacking(self, params: Mapping[str, Array], window: Window, t: Array) -> Lacking:
        """Which entries of row t need something that is missing."""
        values = evaluate([p.varying for _, p in self._moving], self._at(params, window, t, jnp.nan))
        n, m = self.lowering.n, self.lowering.m
        found = {"FcG": jnp.zeros(n, bool), "HdJ": jnp.zeros(m, bool)}
        for (name, plan), v in zip(self._moving, values):
            role = "FcG" if name in "FcG" else "HdJ"
            places = plan.varying_at // plan.shape[2] % plan.shape[1] if name in "FGHJ" else plan.varying_at
            found[role] = found[role].at[np.asarray(places, np.int32)].max(jnp.isnan(v))
        return Lacking(found["FcG"], found["HdJ"])

    def _at(self, params: Mapping[str, Array], window: Window, t: Array, missing: Any) -> Environment:
        def read(sort: str, name: str, lag: Any) -> Array:
            value = jnp.asarray(window[sort, name][lag], float)
            value = jnp.where(jnp.isnan(value), missing, value)
            # Rows before the first are zero, as they are to the program of all rows.
            return jnp.where(t >= lag, value, 0.0) if lag else value

        return Environment(params, read, t)


def _placed(array: Array, at: np.ndarray, values: Array) -> Array:
    if not len(at):
        return array
    return array.reshape(-1).at[np.asarray(at, np.int32)].set(values, unique_indices=True).reshape(array.shape)
