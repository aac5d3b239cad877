"""Any engine on groups of independent programs, one after another: the same numbers as on the whole.

On a CPU a group is a loop over its members, a few at a time, each step a whole pass of the engine over their rows: what
small filters need stays in the cache. On an accelerator all members of a group run side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Bool, Float

from ssmlang.engines._density import inner
from ssmlang.engines._kernel import on_cpu
from ssmlang.engines._side_by_side import LANES, LARGEST
from ssmlang.engines.base import Engine
from ssmlang.engines.members import Members
from ssmlang.engines.program import LinearGaussian

Run = Callable[[LinearGaussian, Array], Any]
Data = tuple[Float[Array, "B T m"], ...]
_Y = "y"
_CACHED = 512
"""Numbers in the moments of the members that run at once on a CPU."""
_MOST = 128
"""Members that run at once there, at most."""


class Moments(NamedTuple):
    """What `filter` or `smooth` gives for one group: arrays (B, T, ...) by the names of `Filtered` and `Smoothed`.

    Covariances are whole under `*cov`, or their diagonals under `*var`.
    """

    arrays: dict[str, Array]


@dataclass(frozen=True)
class Separately:
    """An engine for each group, run on every member of it."""

    engines: tuple[Engine, ...]

    def log_likelihood(self, groups: tuple[Members, ...], y: Data) -> Float[Array, ""]:
        """Log-density of what was observed, of all members together."""
        total = jnp.zeros(())
        for engine, members, data in zip(self.engines, groups, y):
            total = total + self._one_group(engine, members, data)
        return total

    def _one_group(self, engine: Engine, members: Members, y: Array) -> Array:
        if not members.observed:
            return jnp.sum(_existing(members))
        member = _Member(engine.log_likelihood, members)
        own, shared = {**members.own, _Y: y}, dict(members.shared)
        return _total(member, side_by_side(engine, members), own, shared)

    def log_likelihood_terms(self, groups: tuple[Members, ...], y: Data) -> Float[Array, " T"]:
        """Log-density of each row given the rows before it, of all members together."""
        total = jnp.zeros(y[0].shape[1])
        for engine, members, data in zip(self.engines, groups, y):
            if not members.observed:
                total = total + jnp.sum(_existing(members))
                continue
            member = _Member(engine.log_likelihood_terms, members)
            own = {**members.own, _Y: data}
            total = total + _summed(member, side_by_side(engine, members), own, dict(members.shared))
        return total

    def filter(self, groups: tuple[Members, ...], y: Data, whole: bool = True) -> tuple[Moments, ...]:
        """Filtered moments of each group's members; covariances as they are if `whole`, else variances."""
        return self._moments("filter", groups, y, whole)

    def smooth(self, groups: tuple[Members, ...], y: Data, whole: bool = True) -> tuple[Moments, ...]:
        """Smoothed moments of each group's members; covariances as they are if `whole`, else variances."""
        return self._moments("smooth", groups, y, whole)

    def _moments(self, verb: str, groups: tuple[Members, ...], y: Data, whole: bool) -> tuple[Moments, ...]:
        found = []
        for engine, members, data in zip(self.engines, groups, y):
            member = _Member(getattr(engine, verb), members)

            def one(own: Mapping[str, Array], member: _Member = member, members: Members = members) -> dict[str, Array]:
                return _kept(member(own, members.shared), whole, members.observed)

            found.append(Moments(_mapped(one, {**members.own, _Y: data}, side_by_side(engine, members))))
        return tuple(found)


def _existing(members: Members) -> Array:
    """0 for each member, -inf where there is no initial law."""
    arrays = {**members.own, **members.shared}
    return jnp.where(arrays.get("exists", True), 0.0, -jnp.inf)


def _kept(found: Any, whole: bool, observed: bool) -> dict[str, Array]:
    arrays = {}
    for name, value in found._asdict().items():
        if value is None or (name.startswith("observed") and not observed):
            continue
        if name.endswith("cov") and not whole:
            name, value = name.replace("cov", "var"), jnp.diagonal(value, axis1=-2, axis2=-1)
        arrays[name] = value
    return arrays


@dataclass(frozen=True, eq=False)
class _Member:
    """A method of an engine, of one member's arrays and of what is shared."""

    run: Run
    members: Members

    def __call__(self, own: Mapping[str, Array], shared: Mapping[str, Array]) -> Any:
        program = self.members.program({k: v for k, v in own.items() if k != _Y}, shared)
        return self.run(program, own[_Y])


# ------------------------------------------------------------------------------------------- loops over members


def side_by_side(engine: Engine, members: Members) -> int:
    """How many members run at once.

    All of them on an accelerator. On a CPU as many as keep the moments of a row in the nearest cache: what it costs to
    start the kernels of a row, ten times the arithmetic of a small filter, is shared by them. One alone where an engine
    calls a library for each of them, or where it decides by numbers how to go on, which would be done both ways.
    """
    if not on_cpu():
        return members.count
    head, arrays = getattr(engine, "diffuse", None), {**members.own, **members.shared}
    decides = arrays["diffuse"].shape[-1] > 0 and not (head is not None and head.certain)
    if engine.name != "kalman" or decides:
        return 1
    size = max(members.structure.memory_size, 1)
    most = max(1, min(_CACHED // (size * (size + 1)), _MOST, members.count))
    width = -(-members.count // -(-members.count // most))
    return width + -width % LANES if size**3 <= LARGEST and width > LANES else width


def _chunks(own: Mapping[str, Array], width: int) -> tuple[dict[str, Array], Bool[Array, "chunks width"]]:
    """Members in chunks of one width, the last filled up with copies of the last member, and which are none such."""
    count = len(own[_Y])
    there = np.arange(-(-count // width) * width).reshape(-1, width) < count
    if width == 1:
        return dict(own), jnp.asarray(there)
    fill = lambda a: jnp.concatenate([a, jnp.broadcast_to(a[-1:], (there.size - count, *a.shape[1:]))])
    split = lambda a: (fill(a) if there.size > count else a).reshape(*there.shape, *a.shape[1:])
    return jax.tree.map(split, dict(own)), jnp.asarray(there)


def _joined(found: Any, count: int, width: int) -> Any:
    """Results of chunks as those of members."""
    return found if width == 1 else jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:count], found)


def _mapped(one: Callable[[Mapping[str, Array]], Any], own: Mapping[str, Array], width: int) -> Any:
    found = jax.lax.map(one if width == 1 else jax.vmap(one), _chunks(own, width)[0])
    return _joined(found, len(own[_Y]), width)


def _chunk(
    one: Callable[[Any, Any], Array], width: int, own: Mapping[str, Array], there: Array, shared: Mapping[str, Array]
) -> Array:
    """The sum of `one` over the members of a chunk."""
    if width == 1:
        return one(own, shared)
    found = jax.vmap(one, in_axes=(0, None))(own, shared)
    return jnp.sum(jnp.where(there.reshape(-1, *(1,) * (found.ndim - 1)), found, 0.0), axis=0)


def _summed(
    one: Callable[[Any, Any], Array], width: int, own: Mapping[str, Array], shared: Mapping[str, Array]
) -> Array:
    """The sum of `one` over members. A member is worked out again where it is differentiated."""
    shape = jax.eval_shape(one, jax.tree.map(lambda a: a[0], own), shared)
    chunk = jax.checkpoint(partial(_chunk, one, width), prevent_cse=False)
    add = lambda total, x: (total + chunk(*x, shared), None)
    return jax.lax.scan(add, jnp.zeros(shape.shape, shape.dtype), _chunks(own, width))[0]


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _total(one: _Member, width: int, own: dict[str, Array], shared: dict[str, Array]) -> Array:
    """The same of a scalar, whose gradient is computed on the way: nothing of a member is kept for a backward pass over
    all of them."""
    return _summed(one, width, own, shared)


def _derivative(
    one: _Member, width: int, primals: tuple[dict[str, Array], dict[str, Array]], tangents: tuple[Any, Any]
) -> tuple[Array, Array]:
    own, shared = primals
    moves, moves_same = ({k: t for k, t in side.items() if not isinstance(t, SymbolicZero)} for side in tangents)

    def body(carry: Any, x: tuple[dict[str, Array], Array]) -> tuple[Any, dict[str, Array]]:
        chunk, there = x
        total = lambda a, b: _chunk(one, width, {**chunk, **a}, there, {**shared, **b})
        mine, alike = {k: chunk[k] for k in moves}, {k: shared[k] for k in moves_same}
        value, (slope, slope_same) = jax.value_and_grad(total, argnums=(0, 1))(mine, alike)
        return jax.tree.map(jnp.add, carry, (value, slope_same)), slope

    start = (jnp.zeros((), own[_Y].dtype), {k: jnp.zeros_like(shared[k]) for k in moves_same})
    (total, slopes_same), slopes = jax.lax.scan(body, start, _chunks(own, width))
    return total, inner((_joined(slopes, len(own[_Y]), width), slopes_same), (moves, moves_same))


_total.defjvp(_derivative, symbolic_zeros=True)
