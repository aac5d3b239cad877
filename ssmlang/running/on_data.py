"""A lowered form on a series: what is known of it before compiling, and an engine's work in one piece or by blocks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ssmlang.data import Bound
from ssmlang.engines._diffuse_head import DiffuseHead
from ssmlang.engines.base import Engine, Known
from ssmlang.engines.members import Members
from ssmlang.engines.paths import draw_paths
from ssmlang.lowering.gaussian import GaussianLowering
from ssmlang.running.blocks import asked, assembled, known_of
from ssmlang.running.execution import Execution, gaps_of, steps_of
from ssmlang.running.heads import known_head, seen


class OnData:
    """One lowered form and one series; what it compiles depends on `known` and the padded length of the series."""

    def __init__(self, execution: Execution, lowering: GaussianLowering, bound: Bound) -> None:
        self.lowering, self.bound = lowering, bound
        self.blocks = execution.blocks(lowering)

    @cached_property
    def known(self) -> Known:
        """What engines may make use of."""
        if self.blocks is not None:
            return known_of(self.blocks, [seen(self.lowering, self.bound, self.bound.steps)])
        return Known(gaps_of(self.lowering, [self.bound]), known_head(self.lowering, [self.bound]))

    def smooth(self, engine: Engine) -> Callable[[Any, Any], Any]:
        """Smoothed moments, a function of (params, series); `arrays` makes arrays of the whole of them."""
        blocks, known = self.blocks, self.known
        if blocks is not None:
            parts = lambda steps: asked(engine, "smooth", blocks, known, False, steps)
            return lambda params, series: parts(steps_of(series))(params, series)
        ready = engine.for_data(known)
        return lambda params, series: ready.smooth(*self._program(params, series))

    def arrays(self, found: Any) -> dict[str, np.ndarray]:
        """Moments (T, ...) of the whole by name, in the series' own rows: `cov`, or `sd` where that is too large."""
        if self.blocks is not None:
            return assembled(self.blocks, found, self.bound.steps)
        return {k: np.asarray(v)[: self.bound.steps] for k, v in found._asdict().items() if v is not None}

    def paths(self, engine: Engine) -> Callable[[Any, Any, Any], Float[Array, "draws T n"]]:
        """Paths drawn given the data, a function of (params, series, keys)."""
        blocks, known = self.blocks, self.known
        if blocks is None:
            ready = engine.for_data(known)
            return lambda params, series, keys: draw_paths(ready, *self._program(params, series), keys)

        def draw(params: Any, series: Any, keys: Any) -> Array:
            steps = steps_of(series)
            # What is never seen stays diffuse to the end.
            endless = known._replace(diffuse=DiffuseHead(steps, True))
            groups, data = blocks.programs(params, series["observations"], series["inputs"], steps)
            whole = jnp.zeros((len(keys), steps, self.lowering.n))
            for number, (own, members, y) in enumerate(zip(blocks.groups, groups, data)):
                ready = engine.for_data(known if own.observed else endless)
                drawn = _group_paths(ready, members, y, jax.vmap(lambda k, i=number: jax.random.fold_in(k, i))(keys))
                at = np.asarray(own.group.states, np.int32).reshape(-1)
                parts = jnp.moveaxis(drawn, 0, 2).reshape(len(keys), steps, -1)
                whole = whole.at[:, :, at].add(parts)
            return whole

        return draw

    def _program(self, params: Any, series: Any) -> tuple[Any, Array]:
        return self.lowering.program(params, series["observations"], series["inputs"], steps_of(series))


def _group_paths(
    engine: Engine, members: Members, y: Float[Array, "B T m"], keys: Key[Array, " draws"]
) -> Float[Array, "B draws T n"]:
    """Paths of each member, one member after the other."""

    def one(given: tuple[Any, Array, Array]) -> Array:
        own, data, number = given
        mine = jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
        return draw_paths(engine, members.program(own), data, mine)

    return jax.lax.map(one, (dict(members.own), y, jnp.arange(members.count)))
