"""dynamax: its extended and its unscented filter."""

import jax.numpy as jnp
from dynamax.nonlinear_gaussian_ssm.inference_ekf import extended_kalman_filter
from dynamax.nonlinear_gaussian_ssm.inference_ukf import UKFHyperParams, unscented_kalman_filter
from dynamax.nonlinear_gaussian_ssm.models import ParamsNLGSSM
from lorenz import SD_MOVE, SD_SEEN, START, START_SD, moved, seen, tasks
from serving import serve


def params(theta):
    return ParamsNLGSSM(
        initial_mean=jnp.asarray(START), initial_covariance=START_SD**2 * jnp.eye(3),
        dynamics_function=lambda x: moved(theta, x), dynamics_covariance=SD_MOVE**2 * jnp.eye(3),
        emission_function=seen, emission_covariance=SD_SEEN**2 * jnp.eye(2),
    )  # fmt: skip


WAYS = {
    "ekf": lambda theta, y: extended_kalman_filter(params(theta), y, output_fields=[]).marginal_loglik,
    "ukf": lambda theta, y: (
        unscented_kalman_filter(params(theta), y, UKFHyperParams(), output_fields=[]).marginal_loglik
    ),
}

if __name__ == "__main__":
    serve(tasks(WAYS), ["dynamax", "jax"])
