"""Draws of the states' whole path given the data: the simulation smoother by mean correction.

A draw (x+, y+) of the program and the smoothed mean make a draw of x given y:  x+ + E[x - x+ | y - y+], for what the
smoother leaves unexplained has the same law in both. Only means are needed, so covariances of any rank will do: what
holds exactly among the states holds in each path. Durbin & Koopman (2002), with the variant of Jarocinski (2015) in
which one pass smooths the difference, under the program without its offsets and initial mean.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ssmlang.engines import means
from ssmlang.engines.program import LinearGaussian
from ssmlang.engines.simulate import simulate


def draw_paths(
    engine: Any, program: LinearGaussian, y: Float[Array, "T m"], keys: Key[Array, " draws"]
) -> Float[Array, "draws T n"]:
    """A draw of x_0..x_{T-1} given y (NaN: missing) for each key, by any engine that smooths.

    Under a flat initial law the data must settle what is flat: a path of what they leave unknown has no law, and its
    numbers mean nothing.
    """
    plain, T = without_flat_part(program), len(y)
    drawn = jax.vmap(lambda key: simulate(plain, key, T))(keys)
    x, seen = drawn.x[:, 0], drawn.y[:, 0]
    return x + smoothed_means(engine, without_means(program), y - seen)


def smoothed_means(
    engine: Any, program: LinearGaussian, ys: Float[Array, "draws T m"]
) -> Float[Array, "draws T n"]:
    """Smoothed means of several series whose missing entries are the same; `kalman` works out covariances once."""
    if engine.name == "kalman":
        return means.smoothed_means(program, ys)
    return jax.vmap(lambda y: engine.smooth(program, y).mean)(ys)


def without_flat_part(program: LinearGaussian) -> LinearGaussian:
    """The program whose initial law has its flat coefficients at zero."""
    initial = program.initial
    none = jnp.zeros((initial.diffuse.shape[0], 0), jnp.asarray(initial.mean).dtype)
    return _with(program, initial=initial._replace(diffuse=none))


def without_means(program: LinearGaussian) -> LinearGaussian:
    """The program of deviations: no offsets, initial mean zero."""
    zero = jnp.zeros_like
    initial = program.initial._replace(mean=zero(program.initial.mean))
    return _with(program, c=zero(program.c), d=zero(program.d), initial=initial)


def _with(program: LinearGaussian, **changed: Any) -> LinearGaussian:
    parts = {name: getattr(program, name) for name in ("F", "c", "G", "H", "d", "J", "initial", "structure")}
    return LinearGaussian(**{**parts, **changed})
