"""The dual filter's own promises: controls, certificates, solvers, sweeps."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssmlang.engines import Dual, Kalman, WienerHopf
from ssmlang.engines._order_p import order_p
from ssmlang.engines._sweeps import sweeps

from .programs import Kind, jit, random_data, random_program
from .systems import NAMES, system, system_data
from .test_kalman import close

STEPS = 40


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("solver", ["cg", "lbfgs"])
def test_controls_are_the_one_step_predictions(name, solver):
    """At every horizon, from weights that never saw a value; the optimum is where R u + H mu = 0."""
    program, y = system(name, STEPS), system_data(STEPS)
    seen = np.ones(y.shape, bool)
    seen[[4, 30]] = False
    control = jit(jax.vmap(lambda row: Dual(solver=solver).control(program, seen, row)))
    found = control(jnp.arange(STEPS))
    want = jit(Kalman().filter)(program, np.where(seen, y, np.nan))
    means = jit(Kalman().filter)(program, np.full_like(y, np.nan))
    away = np.where(seen, y - means.observed_mean, 0.0)[:, 0]
    close(means.mean[:, 0] - found.u[:, :, 0] @ away, want.predicted_mean[:, 0])
    close(found.variance, want.predicted_cov[:, 0, 0])
    H = np.broadcast_to(program.H.reshape(-1), STEPS)
    used = seen[:, 0] & (np.arange(STEPS) < np.arange(STEPS)[:, None])
    gradient = np.where(used, 0.5 * found.u[:, :, 0] + H * found.mu[:, :, 0], 0.0)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-8)
    assert not found.u[:, :, 0][~used].any()
    assert (found.excess <= 1e-20).all()


def test_control_of_any_functional_of_a_program_with_everything():
    kind = Kind(n=2, m=2, r=4, order=5, emission_lags=1, noise_lags=1, emission_noise_lags=1, varying=True, seed=51)
    program, y = random_program(kind, 9), random_data(kind, 9, 0.2, (3,))
    f = np.array([0.5, -2.0])
    control = jit(lambda row, given: Dual().control(program, y, row, f, given), static_argnums=1)
    filtered, smoothed = jit(lambda y: (Kalman().filter(program, y), Kalman().smooth(program, y)))(y)
    for given, mean, cov in [
        ("past", filtered.predicted_mean, filtered.predicted_cov),
        ("present", filtered.mean, filtered.cov),
        ("all", smoothed.mean, smoothed.cov),
    ]:
        found = control(6, given)
        close(found.estimate, f @ mean[6], 1e-8)
        close(found.variance, f @ cov[6] @ f, 1e-8)


def test_wiener_hopf_weights_are_the_controls():
    program = system("fractional", STEPS)
    seen = np.ones((STEPS, 1), bool)
    seen[7] = False
    predictor = jit(WienerHopf().predictor)(program, seen)
    control = jit(lambda row: Dual().control(program, seen, row))(33)
    close(-control.u, predictor.weights[33, 0])


def test_the_bound_of_the_excess_holds():
    """Stopped early, the variance exceeds the least one by no more than the certificate says."""
    program, seen = system("fractional", STEPS, r=0.005), np.ones((STEPS, 1), bool)
    least = jit(lambda: Dual().control(program, seen).variance)()
    for tolerance in (0.3, 0.03, 0.003):
        engine = Dual(tolerance=tolerance, preconditioner_order=0)
        found = jit(lambda engine=engine: engine.control(program, seen))()
        assert 0.0 <= float(found.variance - least) <= float(found.excess) <= tolerance**2


@pytest.mark.parametrize("name", NAMES)
def test_a_truncated_program_is_a_good_preconditioner(name):
    """Iterations for a prediction of row 199, where without one there are 15 to 200."""
    program, seen = system(name, 200, r=0.05), np.ones((200, 1), bool)
    count = lambda order: int(jit(lambda: Dual(preconditioner_order=order).control(program, seen).iterations)())
    assert count(5) <= 20 and 2 * count(5) < count(0)


def test_second_derivatives_are_those_of_the_likelihood():
    program, y = system("fractional", 12), system_data(12)

    def curvature(engine):
        def value(theta):
            return engine.log_likelihood(replace(program, F=theta[0] * program.F, J=theta[1] * program.J), y)

        return jit(jax.hessian(value))(jnp.ones(2))

    close(curvature(Dual()), curvature(Kalman()), 1e-7)


def test_what_does_not_converge_is_not_a_number():
    program = system("oscillating", 300)
    unstable = replace(program, F=np.array([-1.9, -1.3]).reshape(2, 1, 1))
    y = system_data(300)
    assert np.isnan(float(jit(Dual().log_likelihood)(unstable, y)))
    assert np.isnan(jit(Dual(max_iterations=2, preconditioner_order=0).smooth)(program, y).mean).all()


def test_options_are_checked():
    for options in ({"solver": "newton"}, {"tolerance": 0.0}, {"preconditioner_order": -1}, {"max_iterations": 0}):
        with pytest.raises(ValueError):
            Dual(**options)


@pytest.mark.parametrize("past", [0, None])
def test_sweeps_by_fft_are_those_by_blocks(past):
    kind = Kind(n=2, m=1, r=2, order=30, noise="own", seed=52)
    program = random_program(kind, 70)
    if past is not None:
        program = replace(program, structure=replace(program.structure, past_rows=past))
    form = order_p(program, 70)
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(form.extents.rows, form.extents.k)) for _ in range(2))

    @partial(jit, static_argnums=0)
    def both(way, a, b):
        s = sweeps(form, way)
        return s.forward(a), s.backward(b)

    blocks, fft = both("blocks", a, b), both("fft", a, b)
    for forward, backward in (blocks, fft):
        close(forward, blocks[0])
        close(backward, blocks[1])
        close(np.vdot(forward, b), np.vdot(a, backward))


def test_the_backward_sweep_takes_the_matrix_of_the_later_row():
    """eta_t reads eta_{t+1+k} through A of row t+1+k, lag k: another row, another answer."""
    kind = Kind(n=2, m=1, r=2, order=3, noise="own", varying=True, seed=53)
    program, steps = random_program(kind, 10), 10
    form = order_p(program, steps)
    rng = np.random.default_rng(1)
    right = rng.normal(size=(form.extents.rows, 2))
    eta, past = np.array(right), form.extents.past
    F = np.asarray(program.F)
    for t in range(steps - 1, -past - 1, -1):
        for k in range(1, 4):
            if 1 <= t + k < steps:
                eta[past + t] += F[t + k, k - 1].T @ eta[past + t + k]
    close(jit(lambda right: sweeps(form).backward(right))(right), eta)
