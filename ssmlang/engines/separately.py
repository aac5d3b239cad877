"""Any engine on groups of independent programs, one after another: the same numbers as on the whole.

On a CPU a group is a loop over its members, each step a whole pass of the engine over one member's rows: what a small
filter needs stays in the cache, and the compiler fuses a row where batched small matrices would be library calls. On an
accelerator the members of a group run side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import CustomVJPPrimal
from jaxtyping import Array, Float

from ssmlang.engines.base import Engine
from ssmlang.engines.members import Members
from ssmlang.engines.program import LinearGaussian

Run = Callable[[LinearGaussian, Array], Any]
Data = tuple[Float[Array, "B T m"], ...]
_Y = "y"


class Moments(NamedTuple):
    """What `filter` or `smooth` gives for one group: arrays (B, T, ...) by the names of `Filtered` and `Smoothed`.

    Covariances are whole under `*cov`, or their diagonals under `*var`.
    """

    arrays: dict[str, Array]


@dataclass(frozen=True)
class Separately:
    """An engine for each group, run on every member of it."""

    engines: tuple[Engine, ...]
    once: bool = False
    """Whether `log_likelihood` will be differentiated once and in reverse mode, nothing else: a member's gradient is
    then computed beside its value, so that nothing of a member is kept for a backward pass over all of them."""

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
        if self.once:
            return _summed_once(member, own, shared)
        return _summed(jax.checkpoint(member, prevent_cse=False), own, shared)

    def log_likelihood_terms(self, groups: tuple[Members, ...], y: Data) -> Float[Array, " T"]:
        """Log-density of each row given the rows before it, of all members together."""
        total = jnp.zeros(y[0].shape[1])
        for engine, members, data in zip(self.engines, groups, y):
            if not members.observed:
                total = total + jnp.sum(_existing(members))
                continue
            member = _Member(engine.log_likelihood_terms, members)
            own = {**members.own, _Y: data}
            total = total + _summed(jax.checkpoint(member, prevent_cse=False), own, dict(members.shared))
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

            found.append(Moments(_mapped(one, {**members.own, _Y: data}, members.count)))
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


def side_by_side(count: int) -> int:
    """How many members run at once: one on a CPU, all on an accelerator."""
    device: Any = jax.config.jax_default_device  # type: ignore[attr-defined]
    platform = jax.default_backend() if device is None else getattr(device, "platform", device)
    return 1 if platform == "cpu" else count


def _mapped(one: Callable[[Mapping[str, Array]], Any], own: Mapping[str, Array], count: int) -> Any:
    if side_by_side(count) == count:
        return jax.vmap(one)(own)
    return jax.lax.map(one, own)


def _summed(one: Callable[[Any, Any], Array], own: Mapping[str, Array], shared: Mapping[str, Array]) -> Array:
    """The sum of `one` over members."""
    count = len(own[_Y])
    if side_by_side(count) == count:
        return jnp.sum(jax.vmap(one, in_axes=(0, None))(own, shared), axis=0)
    start = jnp.zeros(jax.eval_shape(one, jax.tree.map(lambda a: a[0], own), shared).shape, own[_Y].dtype)
    return jax.lax.scan(lambda total, x: (total + one(x, shared), None), start, own)[0]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _summed_once(one: _Member, own: dict[str, Array], shared: dict[str, Array]) -> Array:
    """The same of a scalar, whose gradient is computed on the way."""
    return _summed(one, own, shared)


def _forwards(one: _Member, own: dict[str, CustomVJPPrimal], shared: dict[str, CustomVJPPrimal]) -> tuple[Array, tuple]:
    values, same = ({k: v.value for k, v in side.items()} for side in (own, shared))
    moved, moved_same = ([k for k, v in side.items() if v.perturbed] for side in (own, shared))

    def both(x: dict[str, Array]) -> tuple[Array, tuple[dict[str, Array], dict[str, Array]]]:
        part = lambda a, b: one({**x, **a}, {**same, **b})
        return jax.value_and_grad(part, argnums=(0, 1))({k: x[k] for k in moved}, {k: same[k] for k in moved_same})

    add = lambda a, b: jax.tree.map(jnp.add, a, b)
    count = len(values[_Y])
    if side_by_side(count) == count:
        found, (slopes, slopes_same) = jax.vmap(both)(values)
        total, slopes_same = jax.tree.map(lambda a: jnp.sum(a, axis=0), (found, slopes_same))
    else:

        def body(carry: Any, x: dict[str, Array]) -> tuple[Any, dict[str, Array]]:
            value, (slope, slope_same) = both(x)
            return add(carry, (value, slope_same)), slope

        zeros = {k: jnp.zeros_like(same[k]) for k in moved_same}
        (total, slopes_same), slopes = jax.lax.scan(body, (jnp.zeros((), values[_Y].dtype), zeros), values)
    unmoved = lambda side, some: {k: some.get(k) for k in side}
    return total, (unmoved(own, slopes), unmoved(shared, slopes_same))


def _backwards(one: _Member, slopes: tuple, cotangent: Array) -> tuple:
    scaled = [{k: None if s is None else cotangent * s for k, s in side.items()} for side in slopes]
    return tuple(scaled)


_summed_once.defvjp(_forwards, _backwards, symbolic_zeros=True)
