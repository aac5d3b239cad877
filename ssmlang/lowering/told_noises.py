"""What a row's observations say of noises that the next row's states read (see `ssmlang.model.told_noises`)."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ssmlang.engines.semidefinite import semidefinite_root
from ssmlang.lowering.emissions import Emissions
from ssmlang.lowering.evaluate import Environment
from ssmlang.lowering.memory import nodes_of
from ssmlang.lowering.sources import Source
from ssmlang.model import expr


class ToldNoises:
    """Draws of named noises given the state and the observations of their row.

    With standard normal numbers e the observations that read them are z = a + J e + r, r ~ N(0, R); a draw given z is

        e = d + J' (J J' + R)^-1 (z - a - J d - r),     d ~ N(0, I) and r drawn afresh

    (Matheron's rule); what is missing in z is left out of J.
    """

    def __init__(self, emissions: Emissions, names: Sequence[str]) -> None:
        self.emissions, self.names = emissions, tuple(names)
        own = {v.name for v in emissions.noises}
        seen = [s for s in emissions.seen if any(
            sort == "noise" and name in own for sort, name, _ in expr.references(nodes_of(s.equation)))]  # fmt: skip
        self.rows = np.concatenate([np.arange(s.first, s.first + s.size, dtype=np.int32) for s in seen])
        self.noisy = any(s.equation.law is not None for s in seen)

    @property
    def count(self) -> int:
        """How many standard normal numbers a draw takes."""
        return self.emissions.width + (len(self.rows) if self.noisy else 0)

    def drawn(self, row: Environment, y: Array, source: Source) -> dict[str, Array]:
        """The noises of a row, flat, from its environment and its observations, NaN where missing."""
        E, rows = self.emissions, self.rows
        d = source.normals(E.width)
        mean, R = (part[rows] for part in E.given(row, y, E.noises_at(row, jnp.zeros(E.width))))
        R = R[:, rows]
        at = lambda e: E.given(row, y, E.noises_at(row, e))[0][rows]
        J = jax.jacfwd(at)(jnp.zeros(E.width))
        z = E.statistic(y)[rows]
        there = ~jnp.isnan(z)
        both = there[:, None] & there[None, :]
        left = z - mean - J @ d
        if self.noisy:
            left = left - semidefinite_root(R) @ source.normals(len(rows))
        J = jnp.where(there[:, None], J, 0.0)
        S = jnp.where(both, J @ J.T + R, jnp.eye(len(rows)))
        left = jnp.where(there, left, 0.0)
        weight = left / S[0] if len(rows) == 1 else jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(S), True), left)
        e = d + J.T @ weight
        return {n: v.ravel() for n, v in E.noises_at(row, e).items() if n in self.names}


