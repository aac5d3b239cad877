"""The posterior that `fit` draws from, against quadrature on a grid with a likelihood written out in NumPy."""

from __future__ import annotations

from pathlib import Path

import arviz as az
import numpy as np

import ssmlang

MODEL = Path(__file__).parents[2] / "stdlib" / "models" / "nile.ssm"


def grid_moments(y: np.ndarray) -> dict[str, tuple[float, float]]:
    """Means and standard deviations of (sd_level, sd_flow) given y, by the dense Gaussian density and the priors."""
    steps = np.arange(len(y))
    walk = np.minimum.outer(steps, steps).astype(float)
    level, flow = np.linspace(0.25, 260, 130), np.linspace(30, 400, 130)
    log_p = np.empty((len(level), len(flow)))
    for i, a in enumerate(level):
        cov = 500.0**2 + a**2 * walk + np.square(flow)[:, None, None] * np.eye(len(y))
        root = np.linalg.cholesky(cov)
        e = np.linalg.solve(root, np.broadcast_to((y - 1000)[:, None], (len(flow), len(y), 1)))[..., 0]
        log_p[i] = -0.5 * (e**2).sum(-1) - np.log(np.diagonal(root, axis1=1, axis2=2)).sum(-1)
    log_p -= 0.5 * (level[:, None] / 50) ** 2 + 0.5 * (flow / 150) ** 2
    weight = np.exp(log_p - log_p.max())
    weight /= weight.sum()
    found = {}
    for name, values, w in (("sd_level", level, weight.sum(1)), ("sd_flow", flow, weight.sum(0))):
        mean = float(w @ values)
        found[name] = (mean, float(np.sqrt(w @ (values - mean) ** 2)))
    return found


def test_a_fit_draws_from_the_posterior() -> None:
    data = ssmlang.data.load("nile").iloc[:30]
    fit = ssmlang.compile(MODEL).fit(data, draws=1500, warmup=500, chains=2, seed=5)
    for name, (mean, sd) in grid_moments(data["flow"].to_numpy(float)).items():
        x = fit.posterior[name].values
        ess = float(az.ess(x))
        assert ess > 300
        assert abs(x.mean() - mean) < 4 * sd / ess**0.5
        assert abs(x.std() / sd - 1) < 0.1
    assert fit.params["sd_flow"] == float(fit.posterior["sd_flow"].mean())
