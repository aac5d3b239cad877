"""Variational inference against posteriors that are normal laws."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from handmade import model, parameter, ref

from ssmlang.inference.priors import Priors
from ssmlang.inference.svi import Svi

Y = np.array([1.2, 0.4, 2.1, 1.7, 0.9])


def likelihood(params: dict, y: jax.Array, key: jax.Array) -> jax.Array:
    del key
    return jnp.sum(jax.scipy.stats.norm.logpdf(y, params["b"], 1.0))


def test_a_normal_posterior_is_found() -> None:
    normal = lambda loc: ("Normal", {"loc": loc, "scale": 2.0})
    law = Priors(model(parameter("a", normal(0.0)), parameter("b", normal(ref("a")))))
    found = Svi(law, likelihood, steps=3000).run(Y, draws=2000, chains=2, progress="off")
    prior = np.array([[4.0, 4.0], [4.0, 8.0]])
    H = np.tile([0.0, 1.0], (len(Y), 1))
    S = H @ prior @ H.T + np.eye(len(Y))
    K = prior @ H.T @ np.linalg.inv(S)
    mean, cov = K @ Y, prior - K @ H @ prior
    z = np.stack([found.draws.params[n].ravel() for n in ("a", "b")])
    np.testing.assert_allclose(z.mean(1), mean, atol=0.12)
    np.testing.assert_allclose(np.cov(z), cov, rtol=0.2, atol=0.03)
    evidence = -0.5 * (len(Y) * np.log(2 * np.pi) + np.linalg.slogdet(S)[1] + Y @ np.linalg.solve(S, Y))
    np.testing.assert_allclose(found.elbo[-1], evidence, atol=0.05)
    assert found.converged and found.family == "full" and found.elbo[0] < found.elbo[-1]
    # The same law again: its own log-density is that of the draws.
    weights = found.draws.stats["lp"] - found.draws.stats["log_q"]
    np.testing.assert_allclose(weights.mean(), evidence, atol=0.05)
