"""What of the ways through the rows does not depend on how XLA compiles them: see `test_routes`."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssmlang.engines import Kalman, _density, _smooth
from ssmlang.engines._products import FUSED_LIMIT
from tests.engines.programs import Kind, jit, random_data, random_program
from tests.engines.test_routes import STEPS, agree, by_row_smoothed, smoothed


@pytest.mark.parametrize("size, settles", [(FUSED_LIMIT + 2, True), (FUSED_LIMIT + 2, False), (2, False)])
def test_the_moments_of_every_row_are_kept_where_there_is_room(size, settles, monkeypatch):
    """Where there is not a block is worked out again."""
    steps = STEPS if settles else 45
    kind = Kind(n=size, m=2, noise="own", seed=61)
    program, y = random_program(kind, steps), random_data(kind, steps)
    if not settles:
        y[7], y[20, 1] = np.nan, np.nan
    value = lambda G: Kalman(complete=settles).log_likelihood(replace(program, G=G), y)
    slopes = lambda: jit(jax.value_and_grad(lambda G: value(G)))(jnp.asarray(program.G))
    kept = slopes()
    monkeypatch.setattr(_density, "KEPT_NUMBERS" if size > FUSED_LIMIT else "KEPT_NEAR", 0)
    agree(kept, slopes())


def test_slopes_of_settled_smoothed_moments(monkeypatch):
    kind, steps = Kind(n=1, m=1, noise="own", seed=62), STEPS
    program, y = random_program(kind, steps), random_data(kind, steps)
    weight = np.random.default_rng(1).normal(size=(steps, kind.n))

    def total(F, y):
        found = Kalman(complete=True).smooth(replace(program, F=F), y)
        return jnp.sum(weight * found.mean) + jnp.sum(weight[:, :, None] * found.cov)

    slopes = lambda: jit(jax.grad(lambda *a: total(*a), (0, 1)))(jnp.asarray(program.F), y)
    monkeypatch.setattr(_smooth, "SMOOTHING_WORK", 0)
    settled = slopes()
    monkeypatch.setattr(_smooth, "SMOOTHING_WORK", np.inf)
    agree(settled, slopes(), 1e-9)


def test_smoothing_where_the_covariance_never_settles(monkeypatch):
    kind = Kind(n=1, m=1, noise="own", seed=56)
    program = random_program(kind, STEPS)
    program = replace(program, F=np.ones_like(program.F), G=np.zeros_like(program.G))
    y = random_data(kind, STEPS)
    monkeypatch.setattr(_smooth, "SMOOTHING_WORK", 0)
    found = smoothed(program, y)
    agree(found, by_row_smoothed(monkeypatch, program, y))
