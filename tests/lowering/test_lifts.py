"""Lifted models against the joint moments of their coordinates and data: the best linear filter."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from ssmlang.analysis.lifted_exact import LiftedModel
from ssmlang.analysis.lifting import lifted
from ssmlang.engines.kalman import Kalman
from ssmlang.frontend import check_text
from ssmlang.lowering.gaussian import GaussianLowering
from ssmlang.model.linear import LinearForm, linear_form
from tests.lowering.lifts import CASES, INPUT, Lifted, joint


def lowering(text: str) -> tuple[LiftedModel, GaussianLowering]:
    made = lifted(check_text(text).require())
    assert isinstance(made, LiftedModel), made
    form = linear_form(made.model)
    assert isinstance(form, LinearForm), form
    return made, GaussianLowering(made.model, form)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_filter_and_smoother_are_the_best_linear_ones(case: Lifted) -> None:
    made, lower = lowering(case.text)
    assert made.exact == case.exact, made.reasons
    law = joint(case)
    T, D, m = law.rows, law.D, law.m
    rng = np.random.default_rng(1)
    y = law.mean[T * D :].reshape(T, m) + rng.normal(size=(T, m))
    y[1, 0] = np.nan
    cov = law.cov + np.diag(np.r_[np.zeros(T * D), np.full(T * m, case.variance)])
    with jax.enable_x64(True):
        params = {k: jnp.asarray(v) for k, v in case.params.items()}
        inputs = {"u": INPUT[:T]} if "input" in case.text else {}
        shaped = y if len(lower.model.observations["y"].shape) else y[:, 0]
        program, data = lower.program(params, {"y": shaped}, inputs, T)
        filtered, smoothed = Kalman().filter(program, data), Kalman().smooth(program, data)
    flat = y.reshape(-1)
    for t in range(T):
        for found, seen in ((filtered, np.arange(T * m) < (t + 1) * m), (smoothed, np.ones(T * m, bool))):
            k = T * D + np.flatnonzero(seen & ~np.isnan(flat))
            at = np.arange(t * D, (t + 1) * D)
            gain = np.linalg.solve(cov[np.ix_(k, k)], cov[np.ix_(k, at)]).T
            mean = law.mean[at] + gain @ (flat[k - T * D] - law.mean[k])
            np.testing.assert_allclose(found.mean[t], mean, atol=1e-8)
            expected = cov[np.ix_(at, at)] - gain @ cov[np.ix_(k, at)]
            np.testing.assert_allclose(found.cov[t], expected, atol=1e-8)
    k = np.flatnonzero(~np.isnan(flat))
    density = multivariate_normal(law.mean[T * D + k], cov[np.ix_(T * D + k, T * D + k)]).logpdf(flat[k])
    np.testing.assert_allclose(np.asarray(filtered.log_likelihood).sum(), density, atol=1e-8)
