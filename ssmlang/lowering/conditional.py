"""A model that is linear given a part of its states, as a program of both parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ssmlang.engines.conditionally_linear import ConditionallyLinear
from ssmlang.lowering.nonlinear import Data, NonlinearLowering, Numbers, Walk
from ssmlang.lowering.nonlinear_parts import Counter
from ssmlang.lowering.sources import Normals, Source
from ssmlang.model.conditional import Parts
from ssmlang.model.model import Model


class ConditionalLowering(NonlinearLowering):
    """The road from parameters and data to a `ConditionallyLinear` program."""

    def __init__(self, model: Model, walks: Mapping[str, Walk], parts: Parts, latent: Sequence[str] = ()) -> None:
        super().__init__(model, walks, latent, told=False)
        self.parts = parts
        inside = {("state", n) for n in parts.linear} | {("noise", n) for n in parts.noises}
        self.outside = {key for key in self.memory.places if key not in inside}
        self.linear = tuple(at + i for (sort, name, _), at in self.memory.starts.items()
                            if (sort, name) not in self.outside
                            for i in range(self.memory.places[sort, name].size))  # fmt: skip
        seen = [s for s in self.emissions.seen if s.equation in parts.emissions]
        self.gaussian, self.statistic = np.zeros(self.emissions.m, bool), np.zeros(self.emissions.k, bool)
        for s in seen:
            self.gaussian[s.at] = True
            self.statistic[s.first : s.first + s.size] = True

    def over(self, params: Numbers, data: Data) -> ConditionallyLinear:
        """The program over some data."""
        whole = super().over(params, data)
        given = {key: np.full(place.size, key in self.outside) for key, place in self.memory.places.items()}

        def moved(t: Array, s: Array, after: Array, source: Source) -> Array:
            now = {key: self.memory.get(after, *key, 0) for key in self.outside}
            env = self.environment(params, data, t, s, now)
            self._noises(env, source, now)
            self._row(env, source, now, given)
            return self.memory.pushed(s, now)

        def begun(s: Array, source: Source) -> Array:
            kept = {k: self.memory.get(s, *k) for k in self.memory.starts if k[:2] in self.outside}
            return self._first(params, data, source, kept)[0]

        blank = jnp.zeros(self.memory.size)
        zero = jnp.asarray(0)
        return ConditionallyLinear(
            program=whole, linear=self.linear, noises=_count(lambda source: moved(zero, blank, blank, source)),
            first_noises=_count(lambda source: begun(blank, source)),
            begun=lambda s, e: begun(s, Normals(e)),
            moved=lambda t, s, after, e: moved(t, s, after, Normals(e)),
            gaussian=self.gaussian, statistic=self.statistic,
        )  # fmt: skip


def _count(ask: Any) -> int:
    """How many standard normal numbers are asked for."""
    counter = Counter()
    jax.eval_shape(lambda: ask(counter))
    return counter.count
