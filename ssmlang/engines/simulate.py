"""Draws of states, observations and noises from a linear-Gaussian program."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ssmlang.engines import _univariate as univariate
from ssmlang.engines.base import Simulated
from ssmlang.engines.companion import companion, initial, noise_loading
from ssmlang.engines.layout import Layout
from ssmlang.engines.program import Initial, LinearGaussian


def simulate(program: LinearGaussian, key: Key[Array, ""], steps: int, draws: int = 1) -> Simulated:
    """Independent draws of rows 0..steps-1.

    A program with a flat initial law cannot be drawn from: ValueError.
    """
    if program.initial.diffuse.shape[1]:
        raise ValueError("a program with a diffuse initial law has no draws")
    layout = Layout(program.structure)
    program = jax.tree.map(jnp.asarray, program)
    markov = companion(program, layout)
    loading = noise_loading(program, layout)
    n, held = layout.structure.n, slice(layout.x_entries, layout.x_entries + len(layout.memory_noises))
    own, M, row_noises = list(layout.own_noises), list(layout.memory_noises), list(layout.row_noises)
    J = program.J[..., 0, :, :][..., own] if own else jnp.zeros((layout.structure.m, 0))
    first_law = initial(program, layout)
    root = _root(first_law)
    varying = {
        name: array
        for name, array, dimensions in [
            ("top", markov.top, 2), ("a", markov.a, 1), ("B", loading, 2), ("Z", markov.Z, 2), ("d", markov.d, 1),
            ("J", J, 2),
        ]
        if array.ndim > dimensions
    }  # fmt: skip
    constant = {"top": markov.top, "a": markov.a, "B": loading, "Z": markov.Z, "d": markov.d, "J": J}

    def one(key: Key[Array, ""]) -> tuple[Array, Array, Array]:
        first, rest = jax.random.split(key)
        e = jax.random.normal(rest, (steps, layout.structure.r), markov.mean.dtype)
        s = first_law.mean + root @ jax.random.normal(first, (root.shape[1],), markov.mean.dtype)
        if M:
            e = e.at[0, jnp.array(M)].set(s[held])
        s = jnp.concatenate([s, e[0][jnp.array(row_noises, int)]])

        def body(s: Array, x: tuple[Array, Array, dict[str, Array]]) -> tuple[Array, tuple[Array, Array]]:
            t, e, numbers = x
            row = constant | numbers
            moved = univariate.advance_rows(s[:, None], row["top"], layout)[:, 0].at[:n].add(row["a"]) + row["B"] @ e
            s = jnp.where(t == 0, s, moved)
            return s, (s[:n], row["Z"] @ s + row["d"] + row["J"] @ e[jnp.array(own, int)])

        _, (x, y) = jax.lax.scan(body, s, (jnp.arange(steps), e, varying))
        return x, y, e

    return Simulated(*jax.vmap(one)(jax.random.split(key, draws)))


def _root(initial: Initial) -> Float[Array, "N k"]:
    """A root of the initial covariance, of any rank: the factor beside one of `cov` by its eigenvectors."""
    w, V = jnp.linalg.eigh(initial.cov)
    return jnp.concatenate([initial.factor, V * jnp.sqrt(jnp.maximum(w, 0.0))], axis=1)
