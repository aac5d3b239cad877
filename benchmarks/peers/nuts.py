"""NUTS on the Nile for a library that has a log-likelihood in JAX: NumPyro's, 4 vectorised chains of 1000 + 1000."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS
from serving import Job, Problem, Task

PARAMETERS = ("sd_level", "sd_flow")


def sampling(loglik: Callable[[list[jax.Array], jax.Array], jax.Array]) -> Task:
    """The task of a log-likelihood of ([sd_level, sd_flow], flow); each run is another seed of the same sampler."""

    def nuts(problem: Problem) -> Job:
        flow = jnp.asarray(problem["flow"])

        def model() -> None:
            theta = [numpyro.sample(name, dist.HalfNormal(200.0)) for name in PARAMETERS]
            numpyro.factor("loglik", loglik(theta, flow))

        mcmc = MCMC(NUTS(model), num_warmup=1000, num_samples=1000, num_chains=4, chain_method="vectorized",
                    progress_bar=False)  # fmt: skip
        seeds = count(1)

        def run() -> dict[str, np.ndarray]:
            mcmc.run(jax.random.PRNGKey(next(seeds)))
            return {k: np.asarray(v) for k, v in mcmc.get_samples(group_by_chain=True).items() if k in PARAMETERS}

        return Job(run, lambda draws: draws, "NumPyro's NUTS, chains vectorised")

    return nuts
