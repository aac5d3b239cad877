"""The factor engine against the covariance form and dense linear algebra, on programs of every kind."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssmlang.engines import DiffuseHead, Kalman, SquareRoot

from .oracle import Dense
from .programs import Kind, jit, random_data, random_program
from .test_diffuse import PROGRAMS, data_for
from .test_kalman import IDS, KINDS, close

STEPS = 9


@partial(jit, static_argnums=0)
def MOMENTS(engine, program, y):
    return engine.filter(program, y, memory=True), engine.smooth(program, y, memory=True)


def agree(got, want, tolerance):
    for name in got._fields:
        close(getattr(got, name), getattr(want, name), tolerance)


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_moments_are_those_of_the_covariance_form(kind):
    program = random_program(kind, STEPS)
    for y in (random_data(kind, STEPS), random_data(kind, STEPS, 0.3, (0, 4, 7, 8))):
        for got, want in zip(MOMENTS(SquareRoot(), program, y), MOMENTS(Kalman(), program, y), strict=True):
            agree(got, want, 1e-9)
        close(got.log_likelihood.sum(), Dense(program, STEPS).log_likelihood(y))


@pytest.mark.parametrize("name", PROGRAMS)
def test_diffuse_start(name):
    program, y = PROGRAMS[name], data_for(PROGRAMS[name], "holes")
    steps = len(y)
    # One program takes the way through `cond`.
    head = DiffuseHead(4, False) if name == "never seen" else DiffuseHead(steps, True)
    filtered, smoothed = MOMENTS(SquareRoot(diffuse=head), program, y)
    want = MOMENTS(Kalman(diffuse=head), program, y)
    agree(filtered, want[0], 1e-8)
    agree(smoothed, want[1], 1e-7)
    dense = Dense(program, steps)
    close(smoothed.log_likelihood.sum(), dense.log_likelihood(y))
    for t in (0, steps - 1):
        mean, cov = dense.posterior(dense.memory[t], y, steps)
        close(smoothed.memory_mean[t], mean, 1e-8)
        close(smoothed.memory_cov[t], cov, 1e-8)


SLOPES = {
    "shared": Kind(n=2, m=2, r=3, order=2, noise_lags=1, rank=2, seed=31),
    "dense": Kind(n=3, m=2, noise="dense", seed=3),
    "exact": Kind(n=2, m=1, r=1, order=2, noise="none", seed=32),
    "varying": Kind(n=2, m=2, r=2, noise="own", varying=True, emission_lags=1, seed=36),
    "diffuse": Kind(n=2, m=1, r=2, noise="own", diffuse=2, rank=1, seed=33),
}


@pytest.mark.parametrize("name", SLOPES)
def test_gradient_in_every_number(name):
    """Of all arrays at once, the initial law and the data included; and forward mode along a direction."""
    program, y = random_program(SLOPES[name], STEPS), random_data(SLOPES[name], STEPS, 0.2, (4,))
    head = DiffuseHead(4, False)
    point = {k: np.asarray(getattr(program, k)) for k in "FcGHdJ"}
    initial = {k: np.asarray(getattr(program.initial, k)) for k in ("mean", "factor", "cov", "diffuse")}

    @partial(jit, static_argnums=0)
    def slopes(engine, point, initial, y):
        def value(point, initial, y):
            return engine.log_likelihood(replace(program, **point, initial=program.initial._replace(**initial)), y)

        value_and_slope = jax.value_and_grad(value, argnums=(0, 1, 2))(point, initial, y)
        if isinstance(engine, Kalman):
            return value_and_slope
        return value_and_slope, jax.jvp(lambda point: value(point, initial, y), (point,), (along,))[1]

    along = {k: np.where(v != 0, np.cos(np.arange(v.size)).reshape(v.shape), 0.0) for k, v in point.items()}
    got, forward = slopes(SquareRoot(diffuse=head), point, initial, y)
    want = slopes(Kalman(diffuse=head), point, initial, y)
    close(got[0], want[0], 1e-11)
    for key, value in point.items():
        close(got[1][0][key] * (value != 0), want[1][0][key] * (value != 0), 1e-8)
    for key in initial:
        a, b = got[1][1][key], want[1][1][key]
        close(*((a + a.T, b + b.T) if key == "cov" else (a, b)), 1e-8)
    close(got[1][2], want[1][2], 1e-8)
    close(forward, sum(np.sum(got[1][0][k] * along[k]) for k in along), 1e-10)


@pytest.mark.parametrize("name", ["shared", "diffuse"])
def test_second_derivatives(name):
    kind = SLOPES[name]
    program, y = random_program(kind, 5), random_data(kind, 5, 0.2)
    along = {k: np.asarray(getattr(program, k)) for k in "FGHJ"}

    @partial(jit, static_argnums=0)
    def second(engine, h):
        def value(h):
            moved = {k: v * (1 + h[0]) if k in "FH" else v * (1 + h[1]) for k, v in along.items()}
            return engine.log_likelihood(replace(program, **moved), y)

        return jax.hessian(value)(h)

    head = DiffuseHead(3, True)
    got, want = (second(engine(diffuse=head), np.array([0.1, -0.2])) for engine in (SquareRoot, Kalman))
    close(got, want, 1e-8)


def test_derivatives_of_moments():
    kind = SLOPES["shared"]
    program, y = random_program(kind, 6), random_data(kind, 6, 0.2)

    @partial(jit, static_argnums=0)
    def along(engine, F):
        moments = lambda F: (engine.filter(replace(program, F=F), y), engine.smooth(replace(program, F=F), y))
        return jax.jvp(moments, (F,), (jnp.ones_like(F),))[1]

    for got, want in zip(along(SquareRoot(), program.F), along(Kalman(), program.F), strict=True):
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            close(a, b, 1e-9)


def test_vmap_over_parameters_and_data():
    kind = SLOPES["diffuse"]
    program, engine = random_program(kind, STEPS), SquareRoot(diffuse=DiffuseHead(1, False))
    scales = np.array([0.5, 1.0, 2.0])
    data = np.stack([random_data(replace(kind, seed=s), STEPS, 0.3) for s in (1, 2, 3)])

    def value(scale, y):
        return jax.value_and_grad(lambda s: engine.log_likelihood(replace(program, F=program.F * s), y))(scale)

    together, one = jit(jax.vmap(value))(scales, data), jit(value)
    each = [one(a, y) for a, y in zip(scales, data, strict=True)]
    close(together[0], [float(v) for v, _ in each], 1e-10)
    close(together[1], [float(g) for _, g in each], 1e-9)
