"""simdkalman: many series at once, shared matrices. Its log-likelihood leaves out the constant, added here."""

import numpy as np
import simdkalman
from serving import Job, Lacking, Problem, serve


def made(problem: Problem) -> simdkalman.KalmanFilter:
    return simdkalman.KalmanFilter(
        state_transition=problem["F"],
        process_noise=problem["Q"],
        observation_model=problem["H"],
        observation_noise=problem["R"],
    )


def start(problem: Problem) -> dict[str, np.ndarray]:
    n = problem["F"].shape[-1]
    return {"initial_value": np.zeros(n), "initial_covariance": np.eye(n)}


def likelihood(problem: Problem, y: np.ndarray) -> Job:
    """Of y (series, T) or (series, T, m)."""
    filters, law = made(problem), start(problem)
    constant = 0.5 * np.sum(~np.isnan(y)) * np.log(2 * np.pi)
    run = lambda: filters.compute(y, 0, **law, smoothed=False, filtered=True, log_likelihood=True).log_likelihood
    return Job(run, lambda found: {"value": np.sum(found) - constant})


def single(problem: Problem) -> np.ndarray:
    y = problem["y"]
    return y[None, :, 0] if y.shape[1] == 1 else y[None]


def loglik(problem: Problem) -> Job:
    return likelihood(problem, single(problem))


def missing(problem: Problem) -> Job:
    if problem["y"].shape[1] > 1:
        raise Lacking("a vector with a missing entry is missing as a whole")
    return loglik(problem)


def smoother(problem: Problem) -> Job:
    filters, law, y = made(problem), start(problem), single(problem)
    pack = lambda r: {"mean": r.smoothed.states.mean[0], "cov": r.smoothed.states.cov[0]}
    return Job(lambda: filters.compute(y, 0, **law, smoothed=True), pack)


def panel_shared(problem: Problem) -> Job:
    return likelihood(problem, problem["y"][..., 0])


TASKS = {"loglik": loglik, "missing": missing, "smoother": smoother, "panel_shared": panel_shared}

if __name__ == "__main__":
    gradients = "no gradients"
    serve(TASKS, ["simdkalman", "numpy"], {
        "gradient": gradients, "panel_own_gradient": gradients, "singular": gradients, "nuts": gradients,
        "panel_own": "one set of matrices for all series", "varying": "not compared",
    })  # fmt: skip
