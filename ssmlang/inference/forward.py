"""The rows of a model, one after another: reading what was drawn, drawing what comes next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro  # noqa: F401, whole before its parts: see `laws`
from jax import Array
from numpyro.distributions.transforms import biject_to

from ssmlang.inference.priors import Site, support_of
from ssmlang.lowering.draws import draw, gaussian, is_gaussian
from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.model import expr
from ssmlang.model.expr import Node
from ssmlang.model.model import Dist, Equation, InitialEquation, Model, Noise, Values
from ssmlang.model.truncation import truncation

Paths = dict[str, Array]
"""Each series by name, (rows before 0 + T, size), as floats."""


def nodes_of(item: Equation | InitialEquation | Noise) -> list[Node]:
    """The expressions of an equation, an initial law or a noise."""
    law, value = getattr(item, "law", None), getattr(item, "value", None)
    return ([value] if value is not None else []) + (list(law.args.values()) if law is not None else [])


@dataclass(frozen=True)
class Rows:
    """A model with what is known beside the paths: parameters, inputs and augmented parameters of all rows.

    Paths and inputs begin `before` rows before row 0.
    """

    model: Model
    before: int
    steps: int
    params: Mapping[str, Array]
    inputs: Mapping[str, Array]
    augmented: Mapping[str, Array]

    def environment(self, paths: Paths, t: Any, override: Mapping[tuple[str, str, int], Array] | None = None
                    ) -> Environment:  # fmt: skip
        """What expressions read at row t."""
        model, given = self.model, override or {}

        def read(sort: str, name: str, lag: Any) -> Array:
            if isinstance(lag, int) and (sort, name, lag) in given:
                return given[sort, name, lag]
            if sort == "input":
                return self.inputs[name][jnp.clip(self.before + t - lag, 0)]
            variable: Any = {"state": model.states, "obs": model.observations, "noise": model.noises}[sort][name]
            value = paths[name][jnp.clip(self.before + t - lag, 0)].reshape(variable.shape)
            # A discrete value is a position or a number; one that does not exist is kept from being a NaN integer.
            return jnp.nan_to_num(value).astype(int) if getattr(variable, "values", None) is not None else value

        lags = {(n, lag) for n, values in self.augmented.items() for lag in (0, 1)}
        at = {(n, lag): self.augmented[n][jnp.clip(t - lag, 0)] for n, lag in lags}
        return Environment(params=self.params, read=read, t=t, augmented=at, horizon=self.steps, dtype=float)

    def give(self, key: Array | None, item: Equation | InitialEquation, env: Environment, values: Values | None,
             standard: Array | None = None) -> Array:  # fmt: skip
        """What an equation gives its targets, flat; a Gaussian one from `standard` normal numbers where given."""
        size = sum(len(t.entries) for t in item.targets)
        if item.law is not None and standard is not None:
            found = gaussian(item.law, self.arguments(item.law, env), standard)
        elif item.law is not None:
            assert key is not None
            found = self.sample(key, item.law, env, values)
        else:
            assert item.value is not None
            found = evaluate([item.value], env)[0].astype(float)
        return jnp.broadcast_to(found.ravel(), (size,))

    def arguments(self, law: Dist, env: Environment) -> dict[str, Array]:
        return dict(zip(law.args, evaluate(list(law.args.values()), env)))

    def sample(self, key: Array, law: Dist, env: Environment, values: Values | None = None) -> Array:
        return draw(key, law, self.arguments(law, env), values)

    def noises(self, key: Array, paths: Paths) -> Paths:
        """Paths with every named noise drawn in every row, those before 0 included."""
        out = dict(paths)
        for k, noise in zip(jax.random.split(key, max(len(self.model.noises), 1)), self.model.noises.values()):
            assert noise.law is not None
            law, rows = noise.law, jnp.arange(-self.before, self.steps)
            if is_gaussian(law):
                drawn = jax.random.normal(k, (len(rows), *law.shape))
                put = lambda e, t, law=law: gaussian(law, self.arguments(law, self.environment(paths, t)), e).ravel()
            else:
                drawn = jax.random.split(k, len(rows))
                put = lambda k, t, law=law: self.sample(k, law, self.environment(paths, t)).ravel()
            out[noise.name] = jax.vmap(put)(drawn, rows)
        return out

    def standard(self, key: Array) -> Array:
        """Standard normal numbers (steps, n) for the Gaussian equations of every row, side by side in their order.

        They are drawn at once: a generator inside the loop over rows would be compiled again for every equation.
        """
        sizes = [int(np.prod(e.law.shape)) for e in self.model.equations if e.law is not None and is_gaussian(e.law)]
        return jax.random.normal(key, (self.steps, sum(sizes)))

    def advance(self, key: Array, paths: Paths, t: Array, given: Mapping[str, np.ndarray], standard: Array) -> Paths:
        """Paths with row t drawn; entries that are `given` in row 0 stay as they are there.

        `standard` is the row of `Rows.standard`; `key` is for the other laws.
        """
        out, equations, used = dict(paths), self.model.equations, 0
        drawn = [e for e in equations if e.law is not None and not is_gaussian(e.law)]
        keys = list(jax.random.split(jax.random.fold_in(key, t), len(drawn))) if drawn else []
        for equation in equations:
            env, kind = self.environment(out, t), truncation(self.model, equation)
            if equation.law is not None and is_gaussian(equation.law):
                size = int(np.prod(equation.law.shape))
                values = self.give(None, equation, env, kind, standard[used : used + size])
                used += size
            else:
                values = self.give(keys.pop() if equation.law is not None else None, equation, env, kind)
            values = jnp.where(self._reads_nothing(equation, out, t), jnp.nan, values)
            first = 0
            for target in equation.targets:
                entries = np.asarray(target.entries)
                part = values[first : first + len(entries)]
                out[target.name] = _write(out[target.name], self.before + t, entries, part, t, given[target.name])
                first += len(entries)
        return out

    def _reads_nothing(self, equation: Equation, paths: Paths, t: Array) -> Array:
        """Whether an equation reads a label or a count that does not exist, of which an index makes a number."""
        known: dict[str, Any] = {**self.model.states, **self.model.observations}
        read = [paths[name][jnp.clip(self.before + t - lag, 0)] for _, name, lag in expr.references(nodes_of(equation))
                if getattr(known.get(name), "values", None) is not None and isinstance(lag, int) and lag
                and (name, lag) not in equation.guarded]  # fmt: skip
        return jnp.isnan(jnp.concatenate(read)).any() if read else jnp.asarray(False)

    def definitions(self, paths: Paths) -> Paths:
        """The definitions that have a value a row."""
        wanted = {d.name: d.value for d in self.model.definitions.values() if d.series and d.value is not None}
        if not wanted:
            return {}
        row = lambda t: evaluate(list(wanted.values()), self.environment(paths, t))
        found = jax.lax.map(row, jnp.arange(self.steps))
        return dict(zip(wanted, found))


def _write(path: Array, row: Any, entries: np.ndarray, values: Array, t: Any, given: np.ndarray) -> Array:
    old = path[row, entries]
    return path.at[row, entries].set(jnp.where((t == 0) & given[entries], old, values))


def augmented_paths(model: Model, params: Mapping[str, Array], first: Mapping[str, Array], key: Array, steps: int
                    ) -> dict[str, Array]:  # fmt: skip
    """Augmented parameters in rows 0..steps-1 on their natural scale: from `first`, else from the prior, then a random
    walk on the unconstrained scale."""
    out: dict[str, Array] = {}
    for p in model.parameters.values():
        if not p.augment:
            continue
        key, key_first, key_walk = jax.random.split(key, 3)
        law = Site(p).law(params)
        transform = biject_to(support_of(law))
        z = transform.inv(jnp.asarray(first[p.name], float) if p.name in first else law.sample(key_first))
        walk = evaluate([p.walk], Environment(params=params, dtype=float))[0] if p.walk is not None else jnp.zeros(())
        walk = walk if jnp.shape(walk) == z.shape else jnp.max(walk)  # a simplex has fewer numbers there
        moves = walk * jax.random.normal(key_walk, (steps - 1, *z.shape))
        path = jnp.concatenate([z[None], z + jnp.cumsum(moves, axis=0)])
        out[p.name] = jax.vmap(transform)(path)
    return out


def reach(model: Model, items: Sequence[Any]) -> int:
    """How many rows before row 0 anything reads, or is given a value in."""
    lags = [lag for item in items for _, _, lag in expr.references(nodes_of(item)) if isinstance(lag, int)]
    lags += [lag for d in model.definitions.values() if d.value is not None
             for _, _, lag in expr.references([d.value]) if isinstance(lag, int)]  # fmt: skip
    rows = [-t.row for i in model.initials for t in i.targets]
    return max([0, *lags, *rows])
