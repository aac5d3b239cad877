"""statsmodels: its Cython filters with their defaults (the gain frozen at 1e-19), the faster of the two for each row.

The gradient is its own: complex-step differences over all parameters.
"""

import numpy as np
from serving import Job, Problem, fastest, serve
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother
from statsmodels.tsa.statespace.mlemodel import MLEModel

MATRICES = (("transition", "F"), ("design", "H"), ("state_cov", "Q"), ("obs_cov", "R"))
FORMS = (("standard", False), ("univariate", True))


def bound(problem: Problem, univariate: bool) -> KalmanSmoother:
    """A filter with the data and the matrices in it; matrices (T, ...) that change have time last there."""
    y = np.ascontiguousarray(problem["y"])
    n, m = problem["F"].shape[-1], problem["H"].shape[-2]
    made = KalmanSmoother(k_endog=m, k_states=n, k_posdef=n)
    made.bind(y)
    for name, key in MATRICES:
        made[name] = np.moveaxis(problem[key], 0, -1) if problem[key].ndim == 3 else problem[key]
    made["selection"] = np.eye(n)
    made.initialize_known(np.zeros(n), np.eye(n))
    made.filter_univariate = univariate
    return made


def value(found: float) -> dict[str, np.ndarray]:
    return {"value": np.asarray(found)}


def loglik(problem: Problem) -> Job:
    return fastest([Job(bound(problem, univariate).loglike, value, form) for form, univariate in FORMS])


def varying(problem: Problem) -> Job:
    # Row t of `transition` leads from t to t + 1 here, from t - 1 to t in the problem.
    return loglik({**problem, "F": np.roll(problem["F"], -1, axis=0)})


class AllFree(MLEModel):
    """The model whose parameters are every entry of F and H, and the lower triangles of Q and R."""

    def __init__(self, problem: Problem, univariate: bool) -> None:
        n, m = problem["F"].shape[-1], problem["H"].shape[-2]
        self.sizes = n, m
        super().__init__(problem["y"], k_states=n, k_posdef=n)
        self["selection"] = np.eye(n)
        self.ssm.initialize_known(np.zeros(n), np.eye(n))
        self.ssm.filter_univariate = univariate
        self.at = np.concatenate([
            problem["F"].ravel(), problem["H"].ravel(),
            problem["Q"][np.tril_indices(n)], problem["R"][np.tril_indices(m)],
        ])  # fmt: skip

    def split(self, params: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        n, m = self.sizes
        F, H, q, r = np.split(params, np.cumsum([n * n, m * n, n * (n + 1) // 2]))
        return F.reshape(n, n), H.reshape(m, n), q, r

    def update(self, params: np.ndarray, **options: object) -> None:
        params = super().update(params, **options)
        F, H, q, r = self.split(params)
        self["transition"], self["design"] = F, H
        self["state_cov"], self["obs_cov"] = mirrored(q, len(F)), mirrored(r, len(H))

    def run(self) -> tuple[float, np.ndarray]:
        return self.loglike(self.at), self.score(self.at)

    def answer(self, found: tuple[float, np.ndarray]) -> dict[str, np.ndarray]:
        F, H, q, r = self.split(found[1])
        # A parameter of the lower triangle is two entries of the matrix: half the slope belongs to each.
        halved = lambda v, k: 0.5 * (mirrored(v, k) + np.diag(np.diag(mirrored(v, k))))
        return {"value": np.asarray(found[0]), "dF": F, "dH": H, "dQ": halved(q, len(F)), "dR": halved(r, len(H))}


def mirrored(lower: np.ndarray, size: int) -> np.ndarray:
    """The symmetric matrix of a lower triangle, real or complex."""
    made = np.zeros((size, size), lower.dtype)
    made[np.tril_indices(size)] = lower
    return made + np.tril(made, -1).T


def gradient(problem: Problem) -> Job:
    models = [(form, AllFree(problem, univariate)) for form, univariate in FORMS]
    # One loglike of each decides: a score is hundreds of them.
    quick = fastest([Job(lambda m=model: m.loglike(m.at), value, form) for form, model in models])
    model = dict(models)[quick.form]
    return Job(model.run, model.answer, f"complex step, {quick.form}")


def smoother(problem: Problem) -> Job:
    answer = lambda r: {"mean": r.smoothed_state.T, "cov": np.moveaxis(r.smoothed_state_cov, -1, 0)}
    return fastest([Job(bound(problem, univariate).smooth, answer, form) for form, univariate in FORMS])


def one_of_panel(problem: Problem, i: int, univariate: bool) -> KalmanSmoother:
    mats = {k: problem[k][i] if problem[k].ndim == 3 else problem[k] for _, k in MATRICES}
    return bound({**mats, "y": problem["y"][i]}, univariate)


def panel(problem: Problem) -> Job:
    """A loop over series, their filters made beforehand."""
    jobs = []
    for form, univariate in FORMS:
        filters = [one_of_panel(problem, i, univariate) for i in range(len(problem["y"]))]
        jobs.append(Job(lambda made=filters: sum(f.loglike() for f in made), value, f"loop, {form}"))
    return fastest(jobs)


def singular(problem: Problem) -> Job:
    """Value and complex-step gradient in (log q, log r)."""

    class Trend(MLEModel):
        def __init__(self) -> None:
            super().__init__(problem["y"], k_states=2, k_posdef=1)
            self["transition"], self["design"] = problem["F"], problem["H"]
            self["selection"] = problem["g"]
            self.ssm.initialize_known(np.zeros(2), np.eye(2))

        def update(self, params: np.ndarray, **options: object) -> None:
            params = super().update(params, **options)
            self["state_cov"], self["obs_cov"] = np.exp(params[:1])[:, None], np.exp(params[1:])[:, None]

    def run() -> list[tuple[float, np.ndarray]]:
        model = Trend()
        return [(model.loglike(problem["theta"]), model.score(problem["theta"]))]

    pack = lambda found: {"ways": np.array(["standard"]), "value": np.array([found[0][0]]),
                          "gradient": np.array([found[0][1]])}  # fmt: skip
    return Job(run, pack)


TASKS = {
    "loglik": loglik,
    "missing": loglik,
    "varying": varying,
    "gradient": gradient,
    "smoother": smoother,
    "panel_own": panel,
    "panel_shared": panel,
    "singular": singular,
}

if __name__ == "__main__":
    serve(TASKS, ["statsmodels", "numpy"], {"nuts": "no sampler of gradients"})
