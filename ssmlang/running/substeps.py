"""How many short steps a row takes of differential equations that are not linear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ssmlang.data import Bound
from ssmlang.engines.flow import increments, joined, step
from ssmlang.language.diagnostics import SsmError
from ssmlang.lowering.evaluate import evaluate, fields
from ssmlang.lowering.nonlinear import NonlinearLowering, Walk
from ssmlang.model.flows import flowing
from ssmlang.model.model import Model

_FINE = 64
"""Steps a row of the paths along which errors are looked at."""
_ROWS = 16
_DRAWS = 8
_HALVINGS = 9
MOST = 2 ** (_HALVINGS - 1)
OF_NOISE = 0.02
"""The error of a short step that is let pass, in units of the noise of that step,"""
OF_DRIFT = 1e-3
"""and in units of the way that the drift goes in it."""


class Substeps:
    """Finds the number for data: the smallest power of two whose steps have a small error of their own.

    A step is compared with two of half its length under the same noise, at the states of paths that are drawn from the
    prior over the first rows of the data: the error, by root mean squares over a path, is to be below `OF_NOISE` of the
    noise and `OF_DRIFT` of the drift together, for three parameter draws of four.
    """

    def __init__(self, model: Model, walks: Mapping[str, Walk]) -> None:
        self.model = model
        self._lowering = NonlinearLowering(flowing(model, _FINE), walks)
        values = (e.value for e in self._lowering.model.equations if e.value is not None)
        (self._node,) = (v for v in values if v.op == "flow")
        self._found: dict[Any, int] = {}
        self._widest = (-1.0, 1)

    def __call__(self, bounds: Sequence[Bound]) -> int:
        """The most that any of the data sets needs."""
        return max(self._of(b) for b in bounds)

    def _of(self, bound: Bound) -> int:
        rows = min(bound.steps, _ROWS)
        inputs = {n: np.nan_to_num(v[:rows]) for n, v in bound.inputs.items()}
        if "dt" in inputs and bound.steps > 1:
            # The widest gap decides, wherever it is.
            inputs["dt"] = np.full(rows, np.nanmax(bound.inputs["dt"][1:]))
        return self._over(rows, inputs)

    def of_row(self, inputs: Mapping[str, np.ndarray]) -> int:
        """The number for a row whose step is as wide as in these inputs, and for all that were asked about before."""
        dt = float(np.nan_to_num(inputs["dt"])) if "dt" in inputs else 0.0
        if dt > self._widest[0]:
            alike = {n: np.repeat(np.nan_to_num(v)[None], _ROWS, axis=0) for n, v in inputs.items()}
            self._widest = (dt, max(self._widest[1], self._over(_ROWS, alike)))
        return self._widest[1]

    def _over(self, rows: int, inputs: Mapping[str, np.ndarray]) -> int:
        key = (rows, *(v.tobytes() for v in inputs.values()))
        if key not in self._found:
            with jax.enable_x64(True), jax.ensure_compile_time_eval():
                found = self._errors(self._params, inputs)
                self._found[key] = _enough(*(np.asarray(v) for v in found))
        return self._found[key]

    @cached_property
    def _params(self) -> dict[str, Array]:
        """Draws of the parameters, stacked; the middle of their unconstrained scales where a prior is improper."""
        from ssmlang.inference.priors import Priors

        priors = Priors(self.model)
        with jax.enable_x64(True):
            try:
                return dict(priors.sample(jax.random.key(0), _DRAWS))
            except SsmError:
                middle = priors.constrain(priors.unravel(jnp.zeros(priors.size)))[0]
                return {n: jnp.broadcast_to(v, (_DRAWS, *jnp.shape(v))) for n, v in middle.items()}

    @cached_property
    def _errors(self) -> Any:
        def one(key: Array, params: Any, inputs: Any) -> tuple[Array, ...]:
            low = self._lowering
            rows = next((len(v) for v in inputs.values()), _ROWS)
            seen = {n: jnp.full((rows, *o.shape), jnp.nan) for n, o in self.model.observations.items()}
            program, _ = low.program(params, seen, inputs, rows)
            data = {("input", n): v for n, v in inputs.items()} | {("obs", n): v for n, v in seen.items()}
            keys = jax.random.split(key, 3)

            def row(s: Array, t: Array) -> tuple[Array, tuple[Array, ...]]:
                own = jax.random.fold_in(keys[1], t)
                return program.sample(own, t, s), self._local(params, data, t, s, jax.random.fold_in(keys[2], t))

            return jax.lax.scan(row, program.sample_first(keys[0]), jnp.arange(1, max(rows, 2)))[1]

        many = jax.vmap(one, in_axes=(0, 0, None))
        return jax.jit(lambda params, inputs: many(jax.random.split(jax.random.key(1), _DRAWS), params, inputs))

    def _local(self, params: Any, data: Any, t: Array, s: Array, key: Array) -> tuple[Array, ...]:
        """Errors (halvings, n) of a step, and the size of the noise and the drift there."""
        env = self._lowering.environment(params, data, t, s, {})
        x, h = evaluate(list(self._node.args[:2]), env)
        f, G, still = fields(self._node, env)
        e = jax.random.normal(key, (2, *self._node.args[2].shape[1:]))

        def error(halvings: Array) -> Array:
            half = h * jnp.exp2(-halvings - 1.0)
            first, second = increments(e[0], half), increments(e[1], half)
            finer = step(f, G, step(f, G, x, half, first, still), half, second, still)
            return jnp.abs(step(f, G, x, 2 * half, joined(first, second, half), still) - finer)

        errors = jax.vmap(error)(jnp.arange(_HALVINGS, dtype=float))
        return errors, jnp.sqrt(jnp.sum(G(x) ** 2, axis=1)), jnp.abs(f(x)), h


def _enough(errors: np.ndarray, noise: np.ndarray, drift: np.ndarray, h: np.ndarray) -> int:
    """errors (draws, rows, halvings, n), noise and drift (draws, rows, n), h (draws, rows)."""
    size = lambda v: np.sqrt(np.mean(v**2, axis=1))
    with np.errstate(all="ignore"):
        steps = np.median(h) * 0.5 ** np.arange(_HALVINGS)[:, None]
        allowed = OF_NOISE * np.sqrt(steps) * size(noise)[:, None] + OF_DRIFT * steps * size(drift)[:, None]
        worst = np.max(size(errors) / np.maximum(allowed, 1e-300), axis=2, initial=0.0)
    worst = np.where(np.isnan(worst), np.inf, worst)
    good = np.flatnonzero(np.quantile(worst, 0.75, axis=0, method="lower") <= 1.0)
    return 2 ** int(good[0]) if len(good) else MOST

