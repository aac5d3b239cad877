"""How many short steps a row takes of differential equations that are not linear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ssmlang.analysis.draws import PriorDraws
from ssmlang.data import Bound
from ssmlang.engines.flow import Diffusion, Field, GaussianLaw, Increments, increments, marched, moment_rate, step
from ssmlang.inference.quick import quickly_compiled
from ssmlang.lowering.evaluate import evaluate, fields
from ssmlang.lowering.nonlinear import NonlinearLowering, Walk
from ssmlang.model.flows import flowing
from ssmlang.model.model import Model

_FINE = 64
"""Steps a row of the paths along which errors are looked at."""
_ROWS = 16
_DRAWS = 8
MOST = 256
OF_NOISE = 0.02
"""The error over a row that is let pass, in units of the noise of a row,"""
OF_DRIFT = 1e-3
"""and in units of how far a row goes."""


class Substeps:
    """Finds the number for data: the smallest power of two of steps with which a row has a small error.

    So many steps over a row are compared with twice as many, under the same noise or, for engines that work with
    moments (`gaussian`), by their means and standard deviations. The rows are those of paths drawn from the prior over
    the first rows of the data: the error, by root mean squares over a path, is to be below `OF_NOISE` of what noise
    does in a row and `OF_DRIFT` of the way gone in it together, for three parameter draws of four.
    """

    def __init__(self, model: Model, walks: Mapping[str, Walk], *, gaussian: bool = False) -> None:
        self.model, self._gaussian = model, gaussian
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
                self._found[key] = self._enough({n: jnp.asarray(v) for n, v in inputs.items()}, rows)
        return self._found[key]

    @cached_property
    def _params(self) -> dict[str, Array]:
        """Draws of the parameters, stacked."""
        draws = PriorDraws(self.model).first(_DRAWS)
        with jax.enable_x64(True):
            return {n: jnp.asarray(np.stack([d[n] for d in draws])) for n in draws[0]} if draws else {}

    def _enough(self, inputs: Mapping[str, Array], rows: int) -> int:
        keys = jax.random.split(jax.random.key(1), _DRAWS)
        start = self._paths(keys, self._params, inputs, np.arange(1, max(rows, 2)))
        shape = (_DRAWS, max(rows - 1, 1), 2, MOST, *self._node.args[2].shape[1:])
        noises = jnp.asarray(np.random.default_rng(2).standard_normal(() if self._gaussian else shape))
        after = lambda steps: _After(*map(np.asarray, self._after(
            self._params, inputs, start, noises, jnp.asarray(steps))))  # fmt: skip
        steps, coarse = 1, after(1)
        while steps < MOST:
            finer = after(2 * steps)
            if _near(coarse, finer):
                break
            steps, coarse = 2 * steps, finer
        return steps

    @cached_property
    def _paths(self) -> Any:
        """States before each of the rows 1, 2, ..., of one path for each draw of the parameters."""

        def one(key: Array, params: Any, inputs: Any, t: Array) -> Array:
            program = self._lowering.program(params, self._seen(len(t) + 1), inputs, len(t) + 1)[0]
            first, later = jax.random.split(key)
            move = lambda s, t: (program.sample(jax.random.fold_in(later, t), t, s), s)
            return jax.lax.scan(move, program.sample_first(first), t)[1]

        return quickly_compiled(jax.vmap(one, in_axes=(0, 0, None, None)))

    def _seen(self, rows: int) -> dict[str, Array]:
        return {n: jnp.full((rows, *o.shape), jnp.nan) for n, o in self.model.observations.items()}

    @cached_property
    def _after(self) -> Any:
        """What a row leads to in so many steps, as an `_After`, for all draws (draws, rows, ...)."""

        def one(params: Any, inputs: Any, s: Array, t: Array, noises: Array, steps: Array) -> tuple[Array, ...]:
            rows = next((len(v) for v in inputs.values()), _ROWS)
            data = {("input", n): v for n, v in inputs.items()} | {("obs", n): v for n, v in self._seen(rows).items()}
            env = self._lowering.environment(params, data, t, s, {})
            x, h = evaluate(list(self._node.args[:2]), env)
            f, G, still = fields(self._node, env)
            if self._gaussian:
                known = GaussianLaw(x, jnp.zeros((len(x),) * 2, x.dtype))
                law = marched(moment_rate(f, G, len(x), still), known, h, steps)
                sd = jnp.sqrt(jnp.maximum(jnp.diag(law.P), 0.0))
                return jnp.stack([law.m, sd]), law.m - x, sd
            ends = jax.vmap(lambda e: _moved(f, G, x, h, e, still, steps))(noises)
            return ends, ends - x, (ends[0] - ends[1]) / jnp.sqrt(2.0)

        each = None if self._gaussian else 0
        of_rows = jax.vmap(one, in_axes=(None, None, 0, 0, each, None))

        def all_of(params: Any, inputs: Any, s: Array, noises: Array, steps: Array) -> Any:
            t = jnp.arange(1, s.shape[1] + 1)
            return jax.vmap(of_rows, in_axes=(0, None, 0, None, each, None))(params, inputs, s, t, noises, steps)

        return quickly_compiled(all_of)


class _After(NamedTuple):
    """After a row, by (draws, rows, ..., n): what is compared, how far it went, and the size of the noise in it."""

    ends: np.ndarray
    way: np.ndarray
    noise: np.ndarray


def _moved(f: Field, G: Diffusion, x: Array, h: Array, e: Array, additive: bool, steps: Array) -> Array:
    """x after a time h in so many steps, a power of two, under the noise that `MOST` steps have by the numbers e."""
    short = h / len(e)
    fine = jax.vmap(lambda e: increments(e, short))(e)
    before = lambda v: jnp.concatenate([jnp.zeros_like(v[:1]), jnp.cumsum(v, axis=0)])
    W = before(fine.dW)
    integral = before(fine.dZ + short * W[:-1])
    each = len(e) // steps

    def move(k: Array, x: Array) -> Array:
        a, b = k * each, (k + 1) * each
        dW = W[b] - W[a]
        return step(f, G, x, each * short, Increments(dW, integral[b] - integral[a] - each * short * W[a]), additive)

    return jax.lax.fori_loop(0, steps, move, x)


def _near(coarse: _After, finer: _After) -> bool:
    size = lambda v: np.sqrt(np.mean(v**2, axis=tuple(range(1, v.ndim - 1))))  # (draws, n)
    with np.errstate(all="ignore"):
        allowed = OF_NOISE * size(finer.noise) + OF_DRIFT * size(finer.way)
        worst = np.max(size(coarse.ends - finer.ends) / np.maximum(allowed, 1e-300), axis=1, initial=0.0)
    worst = np.where(np.isnan(worst), np.inf, worst)
    return bool(np.quantile(worst, 0.75, method="lower") <= 1.0)
