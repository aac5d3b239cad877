"""dynestyx: the computations behind its extended and unscented filters, which are cd-dynamax's (see dynestyx_exact)."""

import jax.numpy as jnp
import numpyro.distributions as dist
from dynestyx import DynamicalModel, GaussianObservation, GaussianStateEvolution
from dynestyx.inference.configs.filter import EKFConfig, UKFConfig
from dynestyx.inference.integrations.cd_dynamax.discrete import compute_cd_dynamax_discrete_filter
from dynestyx.utils.models import _get_dynamics_with_t0
from lorenz import SD_MOVE, SD_SEEN, START, START_SD, moved, seen, tasks
from serving import serve


def way(config):
    def loglik(theta, y):
        times = jnp.arange(len(y), dtype=float)
        evolution = GaussianStateEvolution(lambda x, u, t_now, t_next: moved(theta, x), SD_MOVE**2 * jnp.eye(3))
        model = DynamicalModel(
            initial_condition=dist.MultivariateNormal(jnp.asarray(START), START_SD**2 * jnp.eye(3)),
            state_evolution=evolution,
            observation_model=GaussianObservation(lambda x, u, t: seen(x), SD_SEEN**2 * jnp.eye(2)),
        )
        made = _get_dynamics_with_t0(model, times, None)
        return compute_cd_dynamax_discrete_filter(made, config, obs_times=times, obs_values=y).marginal_loglik

    return loglik


WAYS = {"ekf": way(EKFConfig(filter_source="cd_dynamax", warn=False)), "ukf": way(UKFConfig(warn=False))}

if __name__ == "__main__":
    serve(tasks(WAYS), ["dynestyx", "cd-dynamax", "jax"])
