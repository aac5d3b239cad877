"""A linear form of a model to the arrays of a linear-Gaussian program.

What is static (sizes, zeros, which arrays vary with time) is planned once, on the host; `GaussianLowering.program` is
then a pure function of parameters and data. What does not vary with time is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ssmlang.engines.program import Initial, LinearGaussian, Structure
from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.lowering.start import Start
from ssmlang.lowering.stated_covariances import Stated, stated
from ssmlang.lowering.whole_past import WholePast
from ssmlang.lowering.window import Series, cleaned
from ssmlang.model import expr, sparse
from ssmlang.model.affine import PAST
from ssmlang.model.expr import Node
from ssmlang.model.linear import LinearForm
from ssmlang.model.model import Model, Variable
from ssmlang.model.rows import Rows, matvec
from ssmlang.model.sparse import Sparse

Values = Mapping[str, Array]


@dataclass(frozen=True)
class Plan:
    """One array of the program: where its nonzero entries go, those that are the same in every row and those not."""

    shape: tuple[int, ...]
    fixed_at: np.ndarray
    fixed: Node
    varying_at: np.ndarray
    varying: Node

    @property
    def varies(self) -> bool:
        return len(self.varying_at) > 0


def _plan(shape: tuple[int, ...], parts: Sequence[tuple[np.ndarray, Node]]) -> Plan:
    """`parts`: flat places and their values."""
    sides: dict[bool, list[tuple[np.ndarray, Node]]] = {False: [], True: []}
    for at, values in parts:
        if len(at):
            sides[expr.varies([values])].append((at, values))
    joined = [
        (np.concatenate([a for a, _ in side]), expr.concat([v for _, v in side])) if side
        else (np.zeros(0, int), expr.zeros((0,)))
        for side in (sides[False], sides[True])
    ]  # fmt: skip
    return Plan(shape, *joined[0], *joined[1])


class GaussianLowering:
    """The road from parameters and data to a `LinearGaussian` program, for one linear form of a model.

    `states` and `observations` name the entries of x and y in order. `transition` and `emission` are the form's, with
    observations that are read as known numbers.
    """

    def __init__(self, model: Model, form: LinearForm) -> None:
        self.model, self.form = model, form
        s = form.stacking
        self.n, self.m, self.r = s.n, s.m, s.r
        self.transition = _with_data(form.transition, model, s.y)
        self.emission = _with_data(form.emission, model, s.y)
        self.past = WholePast.of(form, self.transition, self.emission)
        self._deep: dict[int, tuple[Structure, Start]] = {}

    @cached_property
    def _matrices(self) -> dict[str, tuple[Sparse, ...]]:
        """F, G, H and J lag by lag."""
        found = {}
        for name, rows, kind, first, width in (
            ("F", self.transition, "x", 1, self.n), ("G", self.transition, "e", 0, self.r),
            ("H", self.emission, "x", 0, self.n), ("J", self.emission, "e", 0, self.r),
        ):  # fmt: skip
            last = max(rows.depth(kind), first)
            empty = sparse.empty((rows.size, width))
            found[name] = tuple(rows.terms.get((kind, lag), empty) for lag in range(first, last + 1))
        return found

    @cached_property
    def plans(self) -> dict[str, Plan]:
        """Where the numbers of each array of the program come from."""
        found = {}
        for name, lags in self._matrices.items():
            rows, width = lags[0].shape
            places = [(lag * rows * width + _flat_places(m), m.values) for lag, m in enumerate(lags)]
            found[name] = _plan((len(lags), rows, width), places)
        found["c"] = _plan((self.n,), [(np.arange(self.n), self.transition.constant)])
        found["d"] = _plan((self.m,), [(np.arange(self.m), self.emission.constant)])
        return found

    @cached_property
    def stated(self) -> tuple[Stated, ...]:
        """Noises of which the model states the covariance."""
        return tuple(s for name in "GJ" for s in stated(name, self._matrices[name][0]))

    @cached_property
    def structure(self) -> Structure:
        """Sizes and structural zeros of the program, but for sums over the whole past: as large as its matrices."""
        F, G, H, J = (tuple(_nested(m.nonzero) for m in self._matrices[name]) for name in "FGHJ")
        return Structure(self.n, self.m, self.r, F, G, H, J)

    @cached_property
    def start(self) -> Start:
        """The law of the program's first memory, but for sums over the whole past."""
        return Start(self.form, self.structure)

    def deep(self, steps: int) -> tuple[Structure, Start]:
        """`structure` and `start` with the sums over the whole past, for a series of so many rows."""
        if not self.past:
            return self.structure, self.start
        if steps not in self._deep:
            structure = self.past.structure(self.structure, steps)
            self._deep[steps] = (structure, Start(self.form, structure))
        return self._deep[steps]

    @cached_property
    def reads_data(self) -> bool:
        """Whether any number of the program depends on observations or inputs."""
        nodes = [*(n for p in self.plans.values() for n in (p.fixed, p.varying)), *self.start.nodes]
        return bool(self.past) or any(sort in ("obs", "input") for sort, *_ in expr.references(nodes))

    @property
    def states(self) -> list[str]:
        """Names of the entries of x: the model's states, then latent observations, then definitions."""
        s = self.form.stacking
        latent = [self.model.observations[n] for n in s.latent]
        return _names([*self.model.states.values(), *latent, *(self.model.definitions[n] for n in s.definitions)])

    @property
    def observations(self) -> list[str]:
        """Names of the observed entries of y."""
        return _names(list(self.model.observations.values()))

    def program(self, params: Values, observations: Values, inputs: Values, steps: int
                ) -> tuple[LinearGaussian, Float[Array, "T m"]]:
        """The program and the stacked data y, NaN where missing.

        params: by name, on the constrained scale. observations, inputs: by name, time first, `steps` rows, NaN where
        missing; an input that is NaN counts as zero here, and `undefined` tells where that matters. Observations that
        are conditioned on are missing in y.
        """
        arrays, initial = self._arrays(params, observations, inputs, jnp.arange(steps))
        structure, _ = self.deep(steps)
        return LinearGaussian(**arrays, initial=initial, structure=structure), self.data(observations, steps)

    def data(self, observations: Values, steps: int) -> Float[Array, "T m"]:
        """The stacked data as they are scored."""
        columns = [jnp.reshape(jnp.asarray(observations[n], float), (steps, -1)) for n in self.model.observations]
        y = jnp.concatenate(columns, axis=1) if columns else jnp.zeros((steps, 0))
        unscored = (self.form.conditioned | self.form.unavailable)[:steps]
        if not unscored.any():
            return y
        mask = np.zeros((steps, self.m), bool)
        mask[: len(unscored)] = unscored
        return jnp.where(mask, jnp.nan, y)

    def undefined(self, params: Values, observations: Values, inputs: Values, steps: int,
                  numbers: Callable[..., Any] | None = None) -> dict[str, np.ndarray]:  # fmt: skip
        """Where a missing input, or missing data that an equation reads, leaves something needed without a value.

        Booleans: "transition" (T, n) for rows >= 1, "emission" (T, m) for entries that were seen, "signal" (T, m) for
        all of them, "initial" () for anything in the law of the first memory, "first" (n,) for the mean of row 0.
        `numbers`: `self.numbers`, compiled; of as many rows as there are in the data, which may be more than `steps`.
        """
        rows = max((len(v) for v in (*observations.values(), *inputs.values())), default=steps)
        fixed, moving, start = (numbers or self.numbers)(params, observations, inputs, jnp.arange(max(rows, steps)))
        moving = [np.asarray(each)[:steps] for each in moving]
        bad = {"transition": np.zeros((steps, self.n), bool), "emission": np.zeros((steps, self.m), bool)}
        for (name, plan), once, each in zip(self.plans.items(), fixed, moving):
            found = bad["transition" if name in "FcG" else "emission"]
            row = lambda places, plan=plan, name=name: (
                places // plan.shape[2] % plan.shape[1] if name in "FGHJ" else places
            )
            found[:, row(plan.fixed_at)[np.isnan(np.asarray(once))]] = True
            t, k = np.nonzero(np.isnan(each))
            found[t, row(plan.varying_at)[k]] = True
        if self.past:
            at = self.environments(params, observations, inputs, lambda x: x)
            for name, lacking in self.past.undefined(at, steps).items():
                bad["transition" if name == "F" else "emission"] |= lacking
        bad["transition"][0] = False
        bad["signal"] = bad["emission"].copy()
        seen = self.data({n: v[:steps] for n, v in observations.items()}, steps)
        bad["emission"] &= ~np.isnan(np.asarray(seen))
        bad["first"], bad["initial"] = self._undefined_start(start)
        return bad

    def numbers(self, params: Values, observations: Values, inputs: Values, times: Int[Array, " T"]
                ) -> tuple[list[Array], list[Array], list[list[Array]]]:  # fmt: skip
        """Of every plan what is the same in every row, and what is not, (T, ...); of the first memory's law, and of the
        stationary transition where there is one, the constant and the terms. NaN where data are missing."""
        at = self.environments(params, observations, inputs, lambda x: x)
        fixed = evaluate([p.fixed for p in self.plans.values()], self.still(params))
        moving = jax.vmap(lambda t: evaluate([p.varying for p in self.plans.values()], at(t)))(times)
        env = at(jnp.asarray(0))
        laws = [self.form.first] + ([self.form.stationary.transition] if self.form.stationary is not None else [])
        return fixed, moving, [evaluate([r.constant, *(m.values for m in r.terms.values())], env) for r in laws]

    def _undefined_start(self, start: list[list[Array]]) -> tuple[np.ndarray, np.ndarray]:
        """Which entries of the mean of row 0 have no value, and whether anything in the law of the first memory."""
        form, n = self.form, self.n
        (constant, *values), *stationary = [[np.isnan(np.asarray(v)) for v in law] for law in start]
        terms = dict(zip(form.first.terms, values))
        reached = max(self.transition.depth("x"), self.emission.depth("x") + 1, 1) * n
        whole = constant[:reached].any() or any(v[form.first.terms[k].rows < reached].any() for k, v in terms.items())
        group = any(v.any() for law in stationary for v in law)
        first = constant[:n].copy()
        for slot, lacking in terms.items():
            if slot[0] == "stat":
                at = form.first.terms[slot].rows[lacking | group]
                first[at[at < n]] = True
        return first, np.array(whole or group)

    def environments(self, params: Values, observations: Mapping[str, Series], inputs: Mapping[str, Series],
                     clean: Callable[[Array], Array] | None = None) -> Callable[[Array], Environment]:  # fmt: skip
        """What the leaves of the form's expressions are, by row; `clean` says what an input that is NaN counts as."""
        clean = clean or _zero_for_nan
        series = {("obs", k): cleaned(v, clean) for k, v in observations.items()}
        series |= {("input", k): cleaned(v, clean) for k, v in inputs.items()}
        horizon = max((len(v) for v in series.values()), default=1) - 1

        def at(t: Array) -> Environment:
            def read(sort: str, name: str, lag: int | Array) -> Array:
                values = series[sort, name]
                if isinstance(lag, int) and lag == 0:
                    return values[t]
                return jnp.where(t >= lag, values[jnp.maximum(t - lag, 0)], 0.0)

            return Environment(params, read, t, horizon=horizon)

        return at

    def still(self, params: Values) -> Environment:
        """What the leaves of expressions that are the same in every row are."""
        return Environment(params)

    def over(self, params: Values, observations: Mapping[str, Series], inputs: Mapping[str, Series],
             times: Int[Array, " T"]) -> LinearGaussian:  # fmt: skip
        """The program over some rows; not for sums over the whole past."""
        arrays, initial = self._arrays(params, observations, inputs, times)
        return LinearGaussian(**arrays, initial=initial, structure=self.structure)

    def _arrays(self, params: Values, observations: Mapping[str, Series], inputs: Mapping[str, Series], times: Array
                ) -> tuple[dict[str, Any], Initial]:  # fmt: skip
        steps, at = len(times), self.environments(params, observations, inputs)
        plans = list(self.plans.items())
        still, changing = ([s for s in self.stated if expr.varies([s.factor]) is varies] for varies in (False, True))
        fixed = evaluate([*(p.fixed for _, p in plans), *(s.covariance for s in still)], self.still(params))
        base = {name: _scatter(p.shape, p.fixed_at, v) for (name, p), v in zip(plans, fixed)}
        moving = [(name, p) for name, p in plans if p.varies]
        arrays: dict[str, Any] = dict(base)
        covariances = [s.known(v) for s, v in zip(still, fixed[len(plans) :])]
        if moving:
            one = lambda t: evaluate([*(p.varying for _, p in moving), *(s.covariance for s in changing)], at(t))
            found = jax.vmap(one)(times)
            covariances += [s.known(v) for s, v in zip(changing, found[len(moving) :])]
            for (name, p), values in zip(moving, found):
                if not _every(p.shape, p.varying_at):
                    whole = jnp.broadcast_to(base[name].reshape(-1), (steps, base[name].size))
                    values = whole.at[:, p.varying_at.astype(np.int32)].set(values, unique_indices=True)
                arrays[name] = values.astype(float).reshape(steps, *p.shape)
        arrays |= self.past.added(arrays, params, at, steps)
        return arrays | {"covariances": tuple(covariances)}, self.deep(steps)[1].initial(params, at(jnp.asarray(0)))


def _zero_for_nan(values: Array) -> Array:
    return jnp.where(jnp.isnan(values), 0.0, values)


def _every(shape: tuple[int, ...], at: np.ndarray) -> bool:
    """Whether the places are all there are, in order: no scatter then, which costs more than what it moves."""
    return len(at) == int(np.prod(shape)) and bool((at == np.arange(len(at))).all())


def _scatter(shape: tuple[int, ...], at: np.ndarray, values: Array) -> Array:
    if _every(shape, at):
        return values.astype(float).reshape(shape)
    size = int(np.prod(shape))
    return jnp.zeros(size).at[at.astype(np.int32)].set(values, unique_indices=True).reshape(shape)


def _flat_places(m: Sparse) -> np.ndarray:
    return m.rows * m.shape[1] + m.cols


def _nested(mask: np.ndarray) -> tuple[tuple[bool, ...], ...]:
    return tuple(tuple(bool(v) for v in row) for row in mask)


def _names(variables: Sequence[Variable]) -> list[str]:
    return [name for v in variables for name in v.entry_names()]


def _with_data(rows: Rows, model: Model, offsets: Mapping[str, int]) -> Rows:
    """Observations that are read are known numbers: part of the offset."""
    constant = rows.constant
    for lag in rows.lags("y"):
        m = rows.terms["y", lag]
        seen = [sparse.flat(expr.ref("obs", n, lag, model.observations[n].shape, model.observations[n].axes))
                for n in offsets]  # fmt: skip
        constant = expr.add(constant, matvec(m, expr.concat(seen)))
    if ("ypast", 0) in rows.terms:
        m = rows.terms["ypast", 0]
        seen = [sparse.flat(expr.ref("obs", n, PAST, model.observations[n].shape, model.observations[n].axes))
                for n in offsets]  # fmt: skip
        constant = expr.add(constant, expr.past_sum(PAST, matvec(m, expr.concat(seen))))
    return Rows(constant, {k: v for k, v in rows.terms.items() if k[0] not in ("y", "ypast")})
