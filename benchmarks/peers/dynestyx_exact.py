"""dynestyx: the computation behind its Kalman filter, which is cd-dynamax's, or cuthbert's where data are missing.

Its public way makes a distribution for each row, which is traced row by row: seconds at 1,000 rows, the same numbers at
the same speed afterwards. What is timed is the function below it.
"""

import jax.numpy as jnp
from dynestyx import LTI_discrete
from dynestyx.inference.configs.filter import KFConfig
from dynestyx.inference.integrations.cd_dynamax.discrete import (
    compute_cd_dynamax_discrete_filter,
    compute_cd_dynamax_discrete_smoother,
)
from dynestyx.inference.integrations.cuthbert.discrete import compute_cuthbert_filter
from dynestyx.utils.models import _get_dynamics_with_t0
from jax_tasks import of_panel, of_series, of_singular, of_smoother
from nuts import sampling
from serving import serve

PLAIN = KFConfig(filter_source="cd_dynamax", warn=False)
FACTORED = KFConfig(filter_source="cuthbert", associative=False, warn=False)


def system(F, H, Q, R, y, mean=None, cov=None):
    n = F.shape[0]
    mean, cov = jnp.zeros(n) if mean is None else mean, jnp.eye(n) if cov is None else cov
    times = jnp.arange(y.shape[0], dtype=float)
    made = LTI_discrete(A=F, Q=Q, H=H, R=R, initial_mean=mean, initial_cov=cov)
    return _get_dynamics_with_t0(made, times, None), times


def loglik(F, H, Q, R, y, *start):
    dynamics, times = system(F, H, Q, R, y, *start)
    return compute_cd_dynamax_discrete_filter(dynamics, PLAIN, obs_times=times, obs_values=y).marginal_loglik


def factored(F, H, Q, R, y):
    dynamics, times = system(F, H, Q, R, y)
    return compute_cuthbert_filter(dynamics, FACTORED, None, obs_times=times, obs_values=y)[0]


def smooth(F, H, Q, R, y):
    dynamics, times = system(F, H, Q, R, y)
    found = compute_cd_dynamax_discrete_smoother(dynamics, PLAIN, obs_times=times, obs_values=y)
    return found.smoothed_means, found.smoothed_covariances


def nile(theta, y):
    one = jnp.ones((1, 1))
    start = (jnp.array([1000.0]), one * 500.0**2)
    return loglik(one, one, one * theta[0] ** 2, one * theta[1] ** 2, y[:, None], *start)


TASKS = {
    **of_series(loglik),
    **of_panel(loglik),
    **of_smoother(smooth),
    **of_singular(
        {
            "cd-dynamax": lambda F, H, G, Q, R, y: loglik(F, H, Q, R, y),
            "cuthbert, sequential": lambda F, H, G, Q, R, y: factored(F, H, Q, R, y),
        }
    ),
    "missing": of_series(factored)["loglik"],
    "nuts": sampling(nile),
}

if __name__ == "__main__":
    serve(TASKS, ["dynestyx", "cd-dynamax", "cuthbert", "jax", "numpyro"],
          {"varying": "its linear systems have constant matrices"})  # fmt: skip
