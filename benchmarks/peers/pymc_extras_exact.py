"""pymc-extras: its standard filter without jitter, compiled by PyTensor to JAX, several times faster than its default.

PyTensor's functions in this mode return before the work is done: each call waits for its numbers.
"""

import jax
import numpy as np
import pytensor
import pytensor.tensor as pt
from pymc_extras.statespace.filters import StandardFilter
from pymc_extras.statespace.filters.kalman_smoother import DisturbanceSmoother
from serving import Job, Problem, serve

NAMES = ("F", "H", "Q", "R")
MISSING = -9999.0


def graph(problem: Problem, *, varying: bool = False):
    """Symbols of the matrices and the data, the filter's outputs, and what the smoother takes."""
    symbols = [pt.tensor(name, shape=problem[name].shape, dtype="float64") for name in NAMES]
    y = pt.tensor("y", shape=problem["y"].shape, dtype="float64")
    F, H, Q, R = symbols
    n, m = problem["F"].shape[-1], problem["H"].shape[-2]
    names = ("transition", "design") if varying else ()
    mats = (pt.zeros(n), pt.eye(n), pt.zeros(n), pt.zeros(m), F, H, pt.eye(n), R, Q)
    outputs = StandardFilter(cov_jitter=0.0, time_varying_names=names).build_graph(y, *mats)
    return symbols, y, outputs, mats


def call(symbols, y, outputs, problem: Problem):
    function = pytensor.function([*symbols, y], outputs, mode="JAX")
    function.trust_input = True
    data = np.where(np.isnan(problem["y"]), MISSING, problem["y"])
    arguments = [np.ascontiguousarray(problem[name]) for name in NAMES] + [data]
    return lambda: jax.block_until_ready(function(*arguments))


def value(found) -> dict[str, np.ndarray]:
    return {"value": np.asarray(found[0])}


def loglik(problem: Problem) -> Job:
    symbols, y, outputs, _ = graph(problem)
    return Job(call(symbols, y, [outputs[-1].sum()], problem), value)


def varying(problem: Problem) -> Job:
    # Row t of the transition leads from t to t + 1 here, from t - 1 to t in the problem.
    turned = {**problem, "F": np.roll(problem["F"], -1, axis=0)}
    symbols, y, outputs, _ = graph(turned, varying=True)
    return Job(call(symbols, y, [outputs[-1].sum()], turned), value)


def gradient(problem: Problem) -> Job:
    symbols, y, outputs, _ = graph(problem)
    total = outputs[-1].sum()
    run = call(symbols, y, [total, *pt.grad(total, symbols)], problem)
    slopes = lambda found: {f"d{n}": np.asarray(s) for n, s in zip(NAMES, found[1:], strict=True)}
    return Job(run, lambda found: value(found) | slopes(found))


def smoother(problem: Problem) -> Job:
    symbols, y, outputs, mats = graph(problem)
    found = DisturbanceSmoother(cov_jitter=0.0).build_graph(y, mats, outputs)
    return Job(call(symbols, y, list(found), problem), lambda r: {"mean": np.asarray(r[0]), "cov": np.asarray(r[1])})


def singular(problem: Problem) -> Job:
    theta = pt.vector("theta", shape=(2,))
    F, H, g = (pt.as_tensor(problem[k]) for k in ("F", "H", "g"))
    q, r = pt.exp(theta[0]), pt.exp(theta[1])
    outputs = StandardFilter(cov_jitter=0.0).build_graph(
        pt.as_tensor(problem["y"]), pt.zeros(2), pt.eye(2), pt.zeros(2), pt.zeros(1), F, H, g, r * pt.eye(1),
        q * pt.eye(1),
    )  # fmt: skip
    total = outputs[-1].sum()
    function = pytensor.function([theta], [total, pt.grad(total, theta)], mode="JAX")
    pack = lambda found: {"ways": np.array(["standard"]), "value": np.array([float(found[0])]),
                          "gradient": np.asarray(found[1])[None]}  # fmt: skip
    return Job(lambda: jax.block_until_ready(function(problem["theta"])), pack)


def nuts(problem: Problem) -> Job:
    from pymc_nuts import sampler

    return sampler(problem)


TASKS = {
    "loglik": loglik,
    "missing": loglik,
    "varying": varying,
    "gradient": gradient,
    "smoother": smoother,
    "singular": singular,
    "nuts": nuts,
}

if __name__ == "__main__":
    batches = "its filters take one series"
    serve(TASKS, ["pymc-extras", "pymc", "pytensor", "nutpie", "jax"],
          {"panel_own": batches, "panel_own_gradient": batches, "panel_shared": batches})  # fmt: skip
