"""NumPyro alone: stochastic volatility with its path sampled beside the parameters, as one writes it by hand."""

import sys

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.contrib.control_flow import scan
from numpyro.infer import MCMC, NUTS
from volatility_runs import NAMES, returns, tell


def centred(r):
    mu, phi, sd = parameters()
    first = numpyro.sample("first", dist.Normal(mu, sd / jnp.sqrt(1 - phi**2)))

    def step(h, _):
        h = numpyro.sample("h", dist.Normal(mu + phi * (h - mu), sd))
        return h, h

    _, rest = scan(step, first, None, length=len(r) - 1)
    numpyro.sample("r", dist.Normal(0.0, jnp.exp(jnp.concatenate([first[None], rest]) / 2)), obs=r)


def non_centred(r):
    mu, phi, sd = parameters()
    z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand([len(r)]).to_event(1))
    first = sd / jnp.sqrt(1 - phi**2) * z[0]

    def step(h, z):
        h = phi * h + sd * z
        return h, h

    _, rest = jax.lax.scan(step, first, z[1:])
    h = mu + jnp.concatenate([first[None], rest])
    numpyro.sample("r", dist.Normal(0.0, jnp.exp(h / 2)), obs=r)


def parameters():
    mu = numpyro.sample("mu", dist.Normal(-1.0, 2.0))
    phi = numpyro.sample("phi", dist.TruncatedNormal(0.95, 0.1, low=-1.0, high=1.0))
    sd = numpyro.sample("sd", dist.HalfNormal(0.5))
    return mu, phi, sd


def main() -> None:
    form, chains, draws = {"centred": centred, "non-centred": non_centred}[sys.argv[1]], 4, int(sys.argv[2])
    r = jnp.asarray(returns())
    sampler = MCMC(NUTS(form), num_warmup=draws, num_samples=draws, num_chains=chains, chain_method="vectorized",
                   progress_bar=False)  # fmt: skip

    def fit(seed):
        sampler.run(jax.random.PRNGKey(seed), r)
        found = sampler.get_samples(group_by_chain=True)
        return {name: jax.device_get(found[name]) for name in NAMES}

    tell(fit)


if __name__ == "__main__":
    main()
