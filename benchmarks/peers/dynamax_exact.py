"""dynamax: its sequential filter and smoother, the faster ones on a CPU; its parallel one too for singular noise."""

import jax
import jax.numpy as jnp
from dynamax.linear_gaussian_ssm import lgssm_filter, lgssm_smoother
from dynamax.linear_gaussian_ssm.inference import (
    ParamsLGSSM,
    ParamsLGSSMDynamics,
    ParamsLGSSMEmissions,
    ParamsLGSSMInitial,
)
from dynamax.linear_gaussian_ssm.parallel_inference import lgssm_filter as parallel_filter
from jax_tasks import matrices, of_panel, of_series, of_singular, of_smoother, timed, value
from nuts import sampling
from serving import Job, Problem, serve


def params(F, H, Q, R, mean=None, cov=None):
    """Of constant matrices, or of matrices (T, ...) that change."""
    n, m = F.shape[-1], H.shape[-2]
    return ParamsLGSSM(
        initial=ParamsLGSSMInitial(mean=jnp.zeros(n) if mean is None else mean, cov=jnp.eye(n) if cov is None else cov),
        dynamics=ParamsLGSSMDynamics(weights=F, bias=jnp.zeros(n), input_weights=jnp.zeros((n, 0)), cov=Q),
        emissions=ParamsLGSSMEmissions(weights=H, bias=jnp.zeros(m), input_weights=jnp.zeros((m, 0)), cov=R),
    )


def loglik(F, H, Q, R, y):
    return lgssm_filter(params(F, H, Q, R), y).marginal_loglik


def smooth(F, H, Q, R, y):
    found = lgssm_smoother(params(F, H, Q, R), y)
    return found.smoothed_means, found.smoothed_covariances


def varying(problem: Problem) -> Job:
    return Job(timed(jax.jit(loglik), *matrices(problem), jnp.asarray(problem["y"])), value)


def nile(theta, y):
    """The local level model at (sd_level, sd_flow)."""
    one = jnp.ones((1, 1))
    start = (jnp.array([1000.0]), one * 500.0**2)
    return lgssm_filter(params(one, one, one * theta[0] ** 2, one * theta[1] ** 2, *start), y[:, None]).marginal_loglik


sequential = lambda F, H, G, Q, R, y: lgssm_filter(params(F, H, Q, R), y).marginal_loglik
parallel = lambda F, H, G, Q, R, y: parallel_filter(params(F, H, Q, R), y).marginal_loglik
TASKS = {
    **of_series(loglik),
    **of_panel(loglik),
    **of_smoother(smooth),
    **of_singular({"sequential": sequential, "parallel": parallel}),
    "varying": varying,
    "nuts": sampling(nile),
}

if __name__ == "__main__":
    serve(TASKS, ["dynamax", "jax", "numpyro"], {"missing": "no missing observations"})
