"""Single precision: every number stays single, without a warning, and is close to the double one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssmlang.engines import DiffuseHead, Kalman

from .programs import Kind, jit, random_data, random_program
from .test_pruning import mixed, seasonal

STEPS = 9
PROGRAMS = {
    "seasonal": seasonal(3),
    "mixed": mixed(),
    "varying": random_program(Kind(n=2, m=2, r=3, order=2, noise_lags=1, varying=True, rank=2, seed=31), STEPS),
}


ENGINE = Kalman(diffuse=DiffuseHead(STEPS, True))


def slope(program, y):
    return jax.grad(Kalman().log_likelihood, allow_int=True)(program, y).G


VERBS = {"seasonal": ENGINE.smooth, "mixed": ENGINE.filter, "varying": slope}


@pytest.mark.parametrize("name", PROGRAMS)
def test_single_is_close_to_double(name):
    program, verb = PROGRAMS[name], VERBS[name]
    y = random_data(Kind(m=program.structure.m, seed=5), STEPS, 0.0, (6,))
    exact = jit(verb)(program, y)
    with jax.enable_x64(False):
        found = jit(verb)(program, y)
    for got, want in zip(jax.tree.leaves(found), jax.tree.leaves(exact), strict=True):
        assert got.dtype == jnp.float32 and want.dtype == jnp.float64
        finite = np.isfinite(want)
        np.testing.assert_array_equal(np.isfinite(got), finite)
        scale = np.abs(want[finite]).max(initial=1.0)
        np.testing.assert_allclose(got[finite], want[finite], rtol=1e-3, atol=1e-3 * scale)


def test_draws_are_single():
    with jax.enable_x64(False):
        draws = jit(Kalman().simulate, static_argnames="steps")(PROGRAMS["mixed"], jax.random.key(0), steps=3)
    assert {a.dtype for a in draws} == {jnp.dtype("float32")}
