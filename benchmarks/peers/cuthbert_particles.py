"""cuthbert: its particle filter, systematic resampling where the effective number of particles is below one half.

Its states start one transition before the first observation: from their stationary law, which that transition keeps.
"""

import jax
import jax.numpy as jnp
from cuthbert import filter as run_filter
from cuthbert.smc import particle_filter
from cuthbertlib.resampling import systematic
from cuthbertlib.resampling.adaptive import ess_decorator
from serving import serve
from volatility import MU, PHI, SD, START, sampling


def bootstrap(r, particles):
    y = jnp.asarray(r)
    built = particle_filter.build_filter(
        lambda key: MU + START * jax.random.normal(key, (1,)),
        lambda key, h, row: MU + PHI * (h - MU) + SD * jax.random.normal(key, (1,)),
        lambda before, h, row: -0.5 * (jnp.log(2 * jnp.pi) + h[0] + row * row * jnp.exp(-h[0])),
        particles,
        ess_decorator(systematic.resampling, 0.5),
    )

    @jax.jit
    def estimate(key):
        start, rest = jax.random.split(key)
        return run_filter(built, y, built.init_prepare(key=start), key=rest).log_normalizing_constant[-1]

    return lambda seed: estimate(jax.random.key(seed))


if __name__ == "__main__":
    serve({"bootstrap": sampling(bootstrap)}, ["cuthbert", "jax"])
