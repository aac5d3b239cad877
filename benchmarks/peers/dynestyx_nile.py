"""dynestyx: the Nile, by its public way with NumPyro's NUTS; chains vectorised, the faster of its two ways."""

import csv
import json
import sys

import dynestyx as dsx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from dynestyx.inference.configs.filter import KFConfig
from numpyro.infer import MCMC, NUTS

with open(sys.argv[1]) as file:
    flow = jnp.array([float(row["flow"]) for row in csv.DictReader(file)])[:, None]
times = jnp.arange(len(flow), dtype=float)
one = jnp.ones((1, 1))


def model():
    sd_level = numpyro.sample("sd_level", dist.HalfNormal(200.0))
    sd_flow = numpyro.sample("sd_flow", dist.HalfNormal(200.0))
    system = dsx.LTI_discrete(
        A=one,
        Q=one * sd_level**2,
        H=one,
        R=one * sd_flow**2,
        initial_mean=jnp.array([1000.0]),
        initial_cov=one * 500.0**2,
    )
    with dsx.Filter(filter_config=KFConfig()):
        dsx.sample("f", system, obs_times=times, obs_values=flow)


mcmc = MCMC(NUTS(model), num_warmup=1000, num_samples=1000, num_chains=4, chain_method="vectorized", progress_bar=False)
mcmc.run(jax.random.PRNGKey(1))
draws = mcmc.get_samples()
print(json.dumps({name: float(draws[name].mean()) for name in ("sd_level", "sd_flow")}))
