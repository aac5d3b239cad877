"""Against statsmodels, on models that its own classes build."""

from __future__ import annotations

import numpy as np
import statsmodels.api as sm
from statsmodels.tsa.statespace.dynamic_factor import DynamicFactor
from statsmodels.tsa.statespace.varmax import VARMAX

from ssmlang.engines import Initial, Kalman
from ssmlang.engines.companion import memory_transition
from ssmlang.engines.stationary import stationary

from .programs import jit, make
from .test_kalman import close

TERMS = jit(Kalman().log_likelihood_terms)
FILTER = jit(Kalman().filter)
SMOOTH = jit(Kalman().smooth)
STATIONARY = jit(lambda program: stationary(*memory_transition(program)))


def nile():
    return sm.datasets.nile.load_pandas().data["volume"].to_numpy(float).copy()


def with_stationary_start(program):
    law = STATIONARY(program)
    N = program.structure.memory_size
    initial = Initial(law.mean, np.zeros((N, 0)), law.cov, np.zeros((N, 0)), law.exists)
    return type(program)(program.F, program.c, program.G, program.H, program.d, program.J, initial, program.structure)


def test_nile_with_a_diffuse_start():
    """Durbin & Koopman (2012), section 2.2.5: variances 15098.5 and 1469.1."""
    y = nile()[:, None]
    program = make([[[1.0]]], [[[1469.1**0.5, 0]]], [[[1.0]]], [[[0, 15098.5**0.5]]], diffuse=[[1.0]])
    got = float(TERMS(program, y).sum())
    assert abs(got - -632.5456) < 5e-5
    # All 100 constants counted, as statsmodels does.
    assert abs(got - 0.5 * np.log(2 * np.pi) - -633.4646) < 5e-5
    model = sm.tsa.UnobservedComponents(y[:, 0], "llevel", use_exact_diffuse=True)
    result = model.smooth([15098.5, 1469.1])
    close(TERMS(program, y)[1:], result.filter_results.llf_obs[1:])
    close(SMOOTH(program, y).mean[:, 0], result.smoothed_state[0])
    close(SMOOTH(program, y).cov[:, 0, 0], result.smoothed_state_cov[0, 0])


def test_trend_and_seasonal_with_holes():
    y = nile()[:40]
    y[[0, 5, 6, 7, 20]] = np.nan
    sd = np.array([90.0, 20.0, 3.0, 15.0])
    F = np.zeros((1, 5, 5))
    F[0, 0, :2] = F[0, 1, 1] = 1.0
    F[0, 2, 2:] = -1.0
    F[0, 3, 2] = F[0, 4, 3] = 1.0
    G = np.zeros((1, 5, 4))
    G[0, 0, 1], G[0, 1, 2], G[0, 2, 3] = sd[1:]
    program = make(F, G, [[[1.0, 0, 1, 0, 0]]], [[[sd[0], 0, 0, 0]]], diffuse=np.eye(5))
    model = sm.tsa.UnobservedComponents(y, "lltrend", seasonal=4, use_exact_diffuse=True)
    result = model.smooth(sd**2)
    close(TERMS(program, y[:, None]).sum() - 2.5 * np.log(2 * np.pi), result.llf, 1e-9)
    found = SMOOTH(program, y[:, None])
    close(found.mean, result.smoothed_state.T, 1e-8)
    close(found.cov, np.moveaxis(result.smoothed_state_cov, -1, 0), 1e-8)


def test_arma_21():
    y = (nile() - 900) / 100
    phi, theta, sigma2 = [0.5, 0.2], 0.4, 1.3
    F, G = np.array(phi)[:, None, None], np.sqrt(sigma2) * np.array([1.0, theta])[:, None, None]
    program = with_stationary_start(make(F, G, [[[1.0]]], np.zeros((1, 1, 1))))
    model = sm.tsa.SARIMAX(y, order=(2, 0, 1))
    result = model.filter([*phi, theta, sigma2])
    close(TERMS(program, y[:, None]), result.llf_obs)
    ahead = FILTER(program, np.append(y, [np.nan] * 5)[:, None])
    forecast = result.get_forecast(5)
    close(ahead.observed_mean[-5:, 0], forecast.predicted_mean)
    close(ahead.observed_cov[-5:, 0, 0], forecast.var_pred_mean)


def test_var_2():
    rng = np.random.default_rng(1)
    y = rng.normal(size=(60, 2)).cumsum(axis=0) * 0.3
    model = VARMAX(y, order=(2, 0), trend="c")
    params = np.array([0.1, -0.2, 0.4, 0.1, 0.2, -0.1, -0.1, 0.3, 0.1, 0.2, 0.8, 0.3, 0.6])
    coefficients = params[2:10].reshape(2, 2, 2)  # equation, lag, variable
    F = np.stack([coefficients[:, 0], coefficients[:, 1]])
    root = np.array([[params[10], 0.0], [params[11], params[12]]])
    result = model.filter(params)
    program = make(F, root[None], np.eye(2)[None], np.zeros((1, 2, 2)), c=params[:2])
    close(TERMS(with_stationary_start(program), y), result.llf_obs)


def test_dynamic_factor():
    rng = np.random.default_rng(2)
    y = rng.normal(size=(40, 3))
    y[rng.uniform(size=y.shape) < 0.2] = np.nan
    model = DynamicFactor(y, k_factors=1, factor_order=2)
    loadings, sd2, phi = [0.8, 0.5, -0.3], [0.5, 0.7, 1.1], [0.4, 0.3]
    result = model.filter([*loadings, *sd2, *phi])
    J = np.concatenate([np.zeros((3, 1)), np.diag(np.sqrt(sd2))], axis=1)
    H, G = np.array(loadings)[None, :, None], np.array([[[1.0, 0, 0, 0]]])
    program = with_stationary_start(make(np.array(phi)[:, None, None], G, H, J[None]))
    close(TERMS(program, y), result.llf_obs)


def test_shortest_series():
    program = make([[[1.0]]], [[[1.0, 0]]], [[[1.0]]], [[[0, 2.0]]], diffuse=[[1.0]])
    y = nile()[:1, None]
    assert np.isfinite(np.asarray(TERMS(program, y))).all()
    assert np.isfinite(np.asarray(SMOOTH(program, y).cov)).all()
