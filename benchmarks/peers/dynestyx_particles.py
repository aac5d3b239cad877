"""dynestyx: its particle filter, which is cuthbert's, by its public way under one `jit`."""

import dynestyx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from dynestyx.inference.configs.filter import PFConfig
from serving import serve
from volatility import MU, PHI, SD, START, sampling


def bootstrap(r, particles):
    y, times = jnp.asarray(r)[:, None], jnp.arange(len(r), dtype=float)
    model = dynestyx.DynamicalModel(
        initial_condition=dist.Normal(jnp.array([MU]), START).to_event(1),
        state_evolution=lambda x, u, t_now, t_next: dist.Normal(MU + PHI * (x - MU), SD).to_event(1),
        observation_model=lambda x, u, t: dist.Normal(jnp.zeros(1), jnp.exp(x / 2)).to_event(1),
    )

    @jax.jit
    def estimate(key):
        config = PFConfig(n_particles=particles, ess_threshold_ratio=0.5, warn=False, crn_seed=key)
        with numpyro.handlers.seed(rng_seed=key), dynestyx.Filter(filter_config=config):
            return dynestyx.condition("f", model, obs_times=times, obs_values=y).marginal_loglik

    return lambda seed: estimate(jax.random.PRNGKey(seed))


if __name__ == "__main__":
    serve({"bootstrap": sampling(bootstrap)}, ["dynestyx", "cuthbert", "jax", "numpyro"])
