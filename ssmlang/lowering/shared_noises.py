"""What the memory holds of noises that observations share with states (see `ssmlang.model.shared_noises`)."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from ssmlang.engines.semidefinite import semidefinite_root
from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.lowering.memory import Memory
from ssmlang.lowering.sources import Normals, Source
from ssmlang.model.model import Dist, Model
from ssmlang.model.shared_noises import Shared


class SharedNoises:
    """Gaussian noises w = m + R z, z ~ N(0, I), of which states read u = c + J z: the memory holds m + R P z, with the
    projection P on the rows of J, and R (I - P) z is drawn afresh for the observations."""

    def __init__(self, model: Model, shared: Shared, memory: Memory) -> None:
        self.names, self.read = shared.names, shared.read
        laws = {n: model.noises[n].law for n in shared.names}
        self.laws: dict[str, Dist] = {n: law for n, law in laws.items() if law is not None}
        self.held = tuple(n for n in self.names if ("noise", n) in memory.places)
        self.width = sum(int(np.prod(law.shape)) for law in self.laws.values())

    def at(self, env: Environment, z: Float[Array, " width"]) -> dict[str, Array]:
        """The noises that standard normal numbers give, in their shapes."""
        source, found = Normals(z), {}
        for name, law in self.laws.items():
            args = dict(zip(law.args, evaluate(list(law.args.values()), env)))
            found[name] = source.law(law, args).reshape(law.shape)
        return found

    def drawn(self, env: Environment, source: Source) -> tuple[dict[str, Array], dict[str, Array]]:
        """The noises of a row, flat, and what its memory holds of them."""
        z = source.normals(self.width)
        whole, known = self.at(env, z), self.at(env, self._told(env, z))
        return {n: v.ravel() for n, v in whole.items()}, {n: known[n].ravel() for n in self.held}

    def completed(self, env: Environment, source: Source) -> dict[str, Array]:
        """The noises of a row that observations read, in their shapes: what its memory holds, and what is drawn."""
        z = source.normals(self.width)
        left, still = self.at(env, z - self._told(env, z)), self.at(env, jnp.zeros(self.width))
        return {n: env.read("noise", n, 0).reshape(left[n].shape) + (left[n] - still[n]) for n in self.held}

    def _told(self, env: Environment, z: Float[Array, " width"]) -> Float[Array, " width"]:
        """P z: E[z | u], by an orthonormal basis of the rows of J; rows that others give are left out."""

        def seen(z: Array) -> Array:
            noises = self.at(env, z)
            read = lambda sort, name, lag: noises[name] if sort == "noise" else env.read(sort, name, lag)
            return jnp.concatenate([v.ravel() for v in evaluate(list(self.read), replace(env, read=read))])

        J = jax.jacfwd(seen)(jnp.zeros(self.width))
        if len(J) == 1:
            size = J[0] @ J[0]
            return jnp.where(size > 0, J[0] * (J[0] @ z) / jnp.where(size > 0, size, 1.0), 0.0)
        root = semidefinite_root(J @ J.T)
        pivots = jnp.diagonal(root)
        there = pivots > 0
        safe = root + jnp.diag(jnp.where(there, 0.0, 1.0))
        V = jnp.where(there[:, None], jax.scipy.linalg.solve_triangular(safe, J, lower=True), 0.0)
        return V.T @ (V @ z)
