"""Conditional SMC with ancestor sampling leaves the law of the states given the data as it is."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import ssmlang
from ssmlang.engines.conditional_smc import drawn_ahead, renewed
from ssmlang.lowering.nonlinear import NonlinearLowering

TEXT = """
state x, z
obs   y
init x ~ Normal(0, 2)
init z ~ Normal(1, 1)
x[t] ~ Normal(0.8 * x[t-1] + 0.3 * z[t-1], 0.7)
z[t] ~ Normal(0.9 * z[t-1], 0.4)
y[t] ~ Normal(x[t], 0.5)
let before[t] = x[t-1]
"""
Y = np.array([0.3, 1.1, np.nan, -0.4, 0.8, 2.0, 1.1, 0.2])
CHAINS, SWEEPS, PARTICLES = 300, 50, 4


def test_sweeps_have_the_smoother_s_moments_with_few_particles() -> None:
    model = ssmlang.compile(TEXT)
    smoothed = model.smooth({"y": Y}, {})
    lowering = NonlinearLowering(model.spec, {})
    assert lowering.facts.density and lowering.memory.deep  # a definition alone reads the row before

    def chain(key: jax.Array) -> jax.Array:
        program, y = lowering.program({}, {"y": jnp.asarray(Y)}, {}, len(Y))
        first, key = jax.random.split(key)

        def sweep(path: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
            after = renewed(program, y, path, key, PARTICLES)
            return after, after

        return jax.lax.scan(sweep, drawn_ahead(program, len(Y), first), jax.random.split(key, SWEEPS))[1][20:]

    with jax.enable_x64(True):
        paths = np.asarray(jax.jit(jax.vmap(chain))(jax.random.split(jax.random.key(0), CHAINS)))
    assert paths.shape == (CHAINS, SWEEPS - 20, len(Y), 3)
    # The memory's older row is the row before's, whichever ancestor it came from.
    np.testing.assert_array_equal(paths[:, :, 1:, 2], paths[:, :, :-1, 0])
    each = paths[..., :2].mean(1)  # chains are independent
    error = each.std(0, ddof=1) / np.sqrt(CHAINS)
    assert (np.abs(each.mean(0) - smoothed["mean"].values) < 4.5 * error).all()
    sd = np.sqrt(np.diagonal(smoothed["cov"].values, axis1=1, axis2=2))
    np.testing.assert_allclose(paths[..., :2].reshape(-1, len(Y), 2).std(0), sd, rtol=0.06)
