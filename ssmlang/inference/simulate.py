"""Forward simulation of any model: states, observations and definitions, row after row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ssmlang.inference.forward import Paths, Rows, augmented_paths, nodes_of, reach
from ssmlang.inference.no_start import no_start
from ssmlang.inference.quick import quickly_compiled
from ssmlang.inference.stationary_start import chain_start
from ssmlang.inference.unborn import no_number
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.lowering.stationary_start import GaussianStart
from ssmlang.model import expr
from ssmlang.model.differentials import stepped
from ssmlang.model.flows import flowing
from ssmlang.model.model import InitialEquation, Model
from ssmlang.model.truncation import truncation

_EXISTS = "stationary start"
SUBSTEPS = 64
"""Steps from row to row of differential equations that are not linear."""


class Simulator:
    """Draws from a model; keep it, and a second call with the same number of rows compiles nothing.

    First values come from `init`; those whose law is Diffuse(), and observations that read rows before the data, from
    the caller.
    """

    def __init__(self, model: Model) -> None:
        # Linear differential equations are drawn by their exact law over each step, the others in short steps.
        model, _ = stepped(model)
        _require_laws(model)
        model = flowing(model, SUBSTEPS)
        self.model = model
        self.before = reach(model, [*model.equations, *model.initials, *model.noises.values()])
        self.series = {**model.states, **model.observations, **model.noises}
        special = lambda kind: list(dict.fromkeys(t.name for i in model.initials if i.special == kind
                                                  for t in i.targets))  # fmt: skip
        self.diffuse = special("diffuse")
        stationary = special("stationary")
        self._chains = [n for n in stationary if model.states[n].values is not None]
        self._real = [n for n in stationary if model.states[n].values is None]
        self._start = GaussianStart(model, self._real, self.before) if self._real else None
        self._ordered = _in_order([i for i in model.initials if i.special is None])
        self._compiled: dict[Any, Any] = {}

    def run(self, key: Array, steps: int, params: Mapping[str, Any], *, inputs: Mapping[str, Any] | None = None,
            init: Mapping[str, Any] | None = None, draws: int | None = None) -> dict[str, np.ndarray]:  # fmt: skip
        """Paths {name: (draws, steps, *shape)} of states, observations, definitions and augmented parameters.

        `params`: {name: (draws, *shape)}, checked values; a member that is an augmented parameter is its value at row
        0. `inputs`: {name: (steps, *shape)}. `init`: first values {name: shape, or (rows, *shape) of rows 0, -1, ...},
        which stand before the model's own. Labels are positions. Raises E447 where a first value is missing, E448
        where something comes out as no number in the last row, and E452 where the parameters of a draw allow no
        stationary law to start from.
        """
        init = {n: np.asarray(v, float) for n, v in (init or {}).items()}
        self._check(init)
        shapes = tuple((n, v.shape) for n, v in sorted(init.items()))
        values = {n: np.asarray(v, float) for n, v in params.items()}
        draws = draws if draws is not None else len(next(iter(values.values()))) if values else 1
        cache = (steps, draws, shapes, tuple(sorted(params)))
        if cache not in self._compiled:
            one = lambda key, params, inputs, init: self._one(key, steps, params, inputs, init)
            many = jax.vmap(one, in_axes=(0, 0, None, None))
            self._compiled[cache] = quickly_compiled(
                lambda key, *rest: many(jax.random.split(key, draws), *rest), float(steps * draws)
            )
        with jax.enable_x64(True):
            given = {n: np.asarray(v, float) for n, v in (inputs or {}).items()}
            found = self._compiled[cache](key, values, given, init)
            out = {n: np.asarray(v) for n, v in found.items()}
        unstarted = np.flatnonzero(~out.pop(_EXISTS))
        if len(unstarted) and not set(self._real) <= set(init):
            at = {n: v[unstarted[0]] for n, v in values.items()}
            raise SsmError(no_start(self.model, at) or [])
        trouble = no_number(self.model, out, given, init)
        if trouble is not None:
            raise SsmError(trouble)
        return out

    def _one(self, key: Array, steps: int, params: Mapping[str, Array], inputs: Mapping[str, Array],
             init: Mapping[str, Array]) -> dict[str, Array]:  # fmt: skip
        model, before = self.model, self.before
        keys = jax.random.split(key, 5)
        moving = augmented_paths(model, params, params, keys[0], steps)
        padded = {n: jnp.concatenate([jnp.full((before, *v.shape[1:]), jnp.nan), v]) for n, v in inputs.items()}
        rows = Rows(model, before, steps, params, padded, moving)
        paths = {n: jnp.full((before + steps, v.size), jnp.nan) for n, v in self.series.items()}
        paths = rows.noises(keys[1], paths)
        paths, given, exists = self._first(keys[2], rows, paths, init)

        def advance(t: Array, paths: Paths) -> Paths:
            return rows.advance(keys[3], paths, t, given, standard[t])

        standard = rows.standard(keys[4])
        paths = jax.lax.fori_loop(0, steps, advance, paths)
        shape = lambda n: paths[n][before:].reshape(steps, *self.series[n].shape)
        out = {n: shape(n) for n in (*model.states, *model.observations)}
        return {**out, **rows.definitions(paths), **moving, _EXISTS: exists}

    def _first(self, key: Array, rows: Rows, paths: Paths, init: Mapping[str, Array]
               ) -> tuple[Paths, dict[str, np.ndarray], Array]:  # fmt: skip
        """Rows up to 0 as `init` gives them; which entries of row 0 are given; whether there is such a law."""
        out, before, exists = dict(paths), self.before, jnp.asarray(True)
        given = {n: np.zeros(v.size, bool) for n, v in self.series.items()}
        keys = jax.random.split(key, len(self._ordered) + len(self._chains) + 2)
        if self._start is not None:
            drawn, exists = self._start.draw(keys[-1], rows.params)
            for name, values in drawn.items():
                out[name] = out[name].at[before - jnp.arange(before + 1)].set(values)
                given[name][:] = True
        for k, name in zip(keys[len(self._ordered) :], self._chains):
            out[name] = out[name].at[: before + 1].set(chain_start(k, self.model, name, rows.params, before))
            given[name][:] = True
        for name, value in init.items():
            out[name], given[name] = self._put(out[name], name, value), np.ones_like(given[name])
        for k, item in zip(keys, self._ordered):
            values = rows.give(k, item, rows.environment(out, 0), truncation(self.model, item))
            first = 0
            for target in item.targets:
                entries = np.asarray(target.entries)
                if target.name not in init:
                    part = values[first : first + len(entries)]
                    out[target.name] = out[target.name].at[before + target.row, entries].set(part)
                    if target.row == 0:
                        given[target.name][entries] = True
                first += len(entries)
        return out, given, exists

    def _put(self, path: Array, name: str, value: Array) -> Array:
        variable = self.series[name]
        count = self.before + 1 if value.shape == variable.shape else value.shape[0]
        values = jnp.broadcast_to(value, (count, *variable.shape)).reshape(count, variable.size)
        return path.at[self.before - jnp.arange(count)].set(values)

    def _check(self, init: Mapping[str, np.ndarray]) -> None:
        known = {**self.model.states, **self.model.observations}
        for name, value in init.items():
            if name not in known:
                raise SsmError(Diagnostic("E447", f"init={{'{name}': ...}}: there is no state or observation '{name}'",
                                          help=("the model has " + ", ".join(known),)))  # fmt: skip
            shape = known[name].shape
            rows = value.shape[0] if value.ndim == len(shape) + 1 else 1
            if value.shape not in (shape, (rows, *shape)) or rows > self.before + 1:
                raise SsmError(Diagnostic(
                    "E447", f"init={{'{name}': ...}} has shape {value.shape}", known[name].span, f"has shape {shape}",
                    help=(f"give one value, or at most {self.before + 1} rows 0, -1, ... with shape (rows, *{shape})",),
                ))  # fmt: skip
        lacking = [n for n in self.diffuse if n not in init]
        if lacking:
            spans = [i.span for i in self.model.initials if i.special == "diffuse"]
            listed = ", ".join(f'"{n}": ...' for n in lacking)
            raise SsmError(Diagnostic(
                "E447", "a model cannot be simulated from a diffuse start", spans[0], "gives no law to draw from",
                help=(f"give the first values: simulate(..., init={{{listed}}})",),
            ))  # fmt: skip


def _require_laws(model: Model) -> None:
    """E350 for a stationary law of differential equations that are not linear."""
    stationary = {t.name for i in model.initials if i.special == "stationary" for t in i.targets}
    for d in model.differentials:
        if d.target.name in stationary:
            raise SsmError(Diagnostic(
                "E350", f"'{d.target.name}' has no stationary law that can be drawn from", d.span,
                "is not a linear equation with a constant diffusion",
                help=(f"give its first law: `init {d.target.name} ~ ...`",),
            ))  # fmt: skip


def _in_order(initials: list[InitialEquation]) -> list[InitialEquation]:
    """Initial laws such that each comes after those whose values it reads."""
    done: list[InitialEquation] = []
    waiting = list(initials)
    while waiting:
        targets = {(t.name, -t.row) for i in waiting for t in i.targets}
        ready = [i for i in waiting if not targets & {(n, lag) for _, n, lag in expr.references(nodes_of(i))}]
        ready = ready or waiting  # entries of one variable that read others of it: in the order of the file
        done.append(ready[0])
        waiting.remove(ready[0])
    return done
