"""Gaussian approximations: exact where a program is linear, near a grid's answer where it is not."""

from __future__ import annotations

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm, poisson

from ssmlang.engines import EKF, IEKF, IPLS, UKF, Cubature, GaussHermite, Kalman
from ssmlang.engines._elementwise import elementwise
from ssmlang.engines._kernel import calls_library
from ssmlang.engines._linearise import root
from ssmlang.engines._sigma_points import Grid, Spherical, Unscented
from ssmlang.engines._slopes import with_slopes
from tests.engines.nonlinear_programs import as_nonlinear, grid_filter, scalar
from tests.engines.programs import Kind, jit, random_data, random_program

ENGINES = [EKF(), UKF(), Cubature(), GaussHermite(order=2), IEKF(iterations=2), IPLS(iterations=2)]
FACTOR = [EKF(covariance="factor"), UKF(covariance="factor")]
STEPS = 7
KINDS = {
    "plain": (Kind(n=2, m=2, r=2, noise="dense", seed=1), True),
    "singular": (Kind(n=3, m=2, r=1, noise="own", rank=1, seed=2), True),
    "exact observations": (Kind(n=3, m=1, r=2, noise="none", seed=3), False),
}
each = pytest.mark.parametrize("engine", ENGINES + FACTOR, ids=lambda e: f"{e.name}-{e.covariance}")


def both(kind: Kind, additive: bool):
    program = random_program(kind, STEPS)
    y = random_data(kind, STEPS, missing=0.2, rows=(2,))
    y[-1] = np.nan
    return program, as_nonlinear(program, additive), y


@cache
def exact_moments(name: str):
    program, _, y = both(*KINDS[name])
    return jit(lambda y: (Kalman().filter(program, y), Kalman().smooth(program, y)))(y)


@pytest.mark.parametrize("name", KINDS)
@each
def test_a_linear_program_has_the_numbers_of_kalman(engine, name):
    _, general, y = both(*KINDS[name])
    close = partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-9)

    @jit
    def found(y):
        return engine.filter(general, y), engine.smooth(general, y)

    filtered, smoothed = found(y)
    exact, back = exact_moments(name)
    for field in ("mean", "cov", "predicted_mean", "predicted_cov", "observed_mean", "observed_cov", "log_likelihood"):
        close(getattr(filtered, field), getattr(exact, field), err_msg=field)
    for field in ("mean", "cov", "observed_mean", "observed_cov"):
        close(getattr(smoothed, field), getattr(back, field), err_msg=field)


def value_and_slope(engine, make):
    program, _, y = both(*KINDS["singular"])

    def value(scale):
        F, c, G, H, d, J = (jnp.asarray(getattr(program, n)) for n in "FcGHdJ")
        moved = type(program)(F * scale, c, G * scale, H, d, J * scale, program.initial, program.structure)
        return engine.log_likelihood(make(moved), y)

    return jit(jax.value_and_grad(value))(1.0)


@cache
def exact_slope():
    return value_and_slope(Kalman(), lambda p: p)


@each
def test_so_have_its_likelihood_and_the_derivative(engine):
    found = value_and_slope(engine, lambda p: as_nonlinear(p, KINDS["singular"][1]))
    np.testing.assert_allclose(found, exact_slope(), rtol=1e-8)


def test_a_second_derivative_is_that_of_kalman():
    program, _, y = both(*KINDS["plain"])

    def value(scale, engine, make):
        moved = type(program)(jnp.asarray(program.F) * scale, *(jnp.asarray(getattr(program, n)) for n in "cGHdJ"),
                              program.initial, program.structure)  # fmt: skip
        return engine.log_likelihood(make(moved), y)

    found = jit(jax.hessian(lambda s: value(s, UKF(), lambda p: as_nonlinear(p, True))))(1.0)
    np.testing.assert_allclose(found, jit(jax.hessian(lambda s: value(s, Kalman(), lambda p: p)))(1.0), rtol=1e-8)


def test_an_exact_observation_that_contradicts_the_law_has_density_zero():
    program = scalar(lambda x: x, 0.0, lambda x: (x, 0.0 * x), (1.0, 0.5))
    agrees, contradicts = np.array([[0.3], [0.3]]), np.array([[0.3], [0.4]])
    for engine in (EKF(), UKF(), EKF(covariance="factor")):
        found = jit(lambda y, engine=engine: (engine.log_likelihood(program, y), engine.filter(program, y).mean))
        value, mean = found(agrees)
        assert np.isfinite(value)
        assert found(contradicts)[0] == -np.inf
        np.testing.assert_allclose(mean[:, 0], 0.3)


# --------------------------------------------------------------------------------------------------- against a grid

GROWTH = dict(f=lambda x: 0.5 * x + 25 * x / (1 + x**2), q=1.0, start=(2.0, 1.0))
BEND = dict(f=lambda x: x + 0.3 * np.sin(x), q=0.3, start=(0.5, 0.5))


def world(f, q, start, draw, steps=60, seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(*start), []
    for _ in range(steps):
        y.append(draw(rng, x))
        x = f(x) + q * rng.normal()
    return np.array(y)


def test_a_gently_bent_world_is_nearly_the_grids():
    r = 0.5
    y = world(**BEND, draw=lambda rng, x: x + r * rng.normal())
    y[10:13] = np.nan
    exact, mean, variance = grid_filter(BEND["f"], BEND["q"], lambda y, x: norm.logpdf(y, x, r), BEND["start"], y)
    program = scalar(lambda x: x + 0.3 * jnp.sin(x), BEND["q"], lambda x: (x, r**2), BEND["start"])
    errors = {}
    for engine in ENGINES:
        found = jit(lambda y, engine=engine: engine.filter(program, y))(y[:, None])
        assert abs(found.log_likelihood.sum() - exact) < 0.01 * abs(exact)
        errors[engine.name] = np.abs(found.mean[:, 0] - mean).max()
        np.testing.assert_allclose(found.cov[:, 0, 0], variance, rtol=0.2)
    assert all(e < 0.06 for e in errors.values())
    assert errors["gauss_hermite"] < errors["ekf"] and errors["ukf"] < errors["ekf"]


def test_where_the_map_is_steep_points_beat_derivatives_and_neither_is_right():
    r = 1.0
    y = world(**GROWTH, draw=lambda rng, x: x**2 / 20 + r * rng.normal())
    exact, *_ = grid_filter(GROWTH["f"], 1.0, lambda y, x: norm.logpdf(y, x**2 / 20, r), GROWTH["start"], y)
    program = scalar(lambda x: 0.5 * x + 25 * x / (1 + x**2), 1.0, lambda x: (x**2 / 20, r**2), GROWTH["start"])
    engines = (EKF(), UKF(), GaussHermite())
    found = jit(lambda y: [e.log_likelihood(program, y) for e in engines])(y[:, None])
    value = {e.name: float(v) for e, v in zip(engines, found, strict=True)}
    assert value["ekf"] < value["ukf"] - 0.2 and value["ekf"] < value["gauss_hermite"] - 0.2
    assert max(value.values()) < exact


def test_counts_are_seen_through_their_mean_and_variance():
    start, q, f = (1.0, 0.5), 0.15, lambda x: 0.95 * x
    y = world(f, q, start, draw=lambda rng, x: float(rng.poisson(np.exp(1 + x))))
    exact, mean, _ = grid_filter(f, q, lambda y, x: poisson.logpmf(y, np.exp(1 + x)), start, y)
    program = scalar(f, q, lambda x: (jnp.exp(1 + x), jnp.exp(1 + x)), start)
    for engine in (UKF(), GaussHermite(), EKF()):
        found = jit(lambda y, engine=engine: engine.filter(program, y))(y[:, None])
        # A density set beside a probability of whole numbers: about the same, for the counts are not small.
        assert abs(found.log_likelihood.sum() - exact) < 0.05 * abs(exact)
        assert np.abs(found.mean[:, 0] - mean).max() < 0.25


def test_iterating_moves_the_estimate_towards_the_most_probable_one():
    """An observation that bends much within the prior's spread: Gauss-Newton finds the mode, one step does not."""
    start, r, z = (1.0, 1.0), 0.1, 4.0
    program = scalar(lambda x: x, 0.0, lambda x: (x**2, r**2), start)
    x = np.linspace(1.0, 3.0, 200_001)
    mode = x[np.argmin(0.5 * ((x - start[0]) / start[1]) ** 2 + 0.5 * ((z - x**2) / r) ** 2)]
    engines = (EKF(), IEKF(iterations=10), IPLS(iterations=10, points="gauss_hermite", order=9))
    found = jit(lambda y: [engine.filter(program, y).mean[0, 0] for engine in engines])(np.array([[z]]))
    once, often, ipls = map(float, found)
    assert abs(often - mode) < 1e-5 < 0.3 < abs(once - mode)
    _, mean, _ = grid_filter(lambda x: x, 1.0, lambda y, x: norm.logpdf(y, x**2, r), start, np.array([z]))
    assert abs(ipls - mean[0]) < 0.4


def test_the_iterated_smoother_is_at_a_stationary_point_of_the_path():
    """Gauss-Newton has converged where the gradient of the log-density of path and data is zero."""
    q, r, start = 0.3, 0.2, (0.5, 0.5)
    y = world(lambda x: x + 0.3 * np.sin(x), q, start, draw=lambda rng, x: np.sin(x) + r * rng.normal(), steps=12)
    program = scalar(lambda x: x + 0.3 * jnp.sin(x), q, lambda x: (jnp.sin(x), r**2), start)
    smoothed = lambda engine: jit(lambda y: engine.smooth(program, y))(y[:, None]).mean[:, 0]
    path = smoothed(IEKF(iterations=40))

    def log_density(x):
        moved = norm.logpdf(x[1:], x[:-1] + 0.3 * jnp.sin(x[:-1]), q).sum()
        return norm.logpdf(x[0], *start) + moved + norm.logpdf(y, jnp.sin(x), r).sum()

    gradient = jit(jax.grad(log_density))
    slope = lambda x: np.abs(gradient(x)).max()
    assert slope(path) < 1e-4 < 0.1 < slope(smoothed(EKF()))


def test_noise_that_is_not_additive_is_seen_by_points():
    """x_t = x_{t-1} exp(0.3 e): the mean grows by exp(0.045) a row, of which derivatives see nothing."""
    from ssmlang.engines.nonlinear import Facts, Law
    from tests.engines.nonlinear_programs import gaussian

    facts = Facts(n=1, N=1, first_noises=1, noises=1, m=1, k=1, definitions=1)
    program = gaussian(facts, lambda e: 1 + 0.1 * e, lambda t, s, e: s * jnp.exp(0.3 * e),
                       lambda t, s: Law(s, jnp.ones((1, 1))))  # fmt: skip
    y = np.full((2, 1), np.nan)
    exact, raw = np.exp(0.045), 1.01 * np.exp(0.18)
    for engine in (UKF(), GaussHermite(order=7)):
        found = jit(lambda y, engine=engine: engine.filter(program, y))(y)
        np.testing.assert_allclose(found.mean[1, 0], exact, rtol=1e-3)
        np.testing.assert_allclose(found.cov[1, 0, 0], raw - exact**2, rtol=0.05)
    assert jit(lambda y: EKF().filter(program, y).mean)(y)[1, 0] == 1.0


# ----------------------------------------------------------------------------------------------------------- parts


@pytest.mark.parametrize("rule", [Unscented(), Unscented(0.5, 2.0, 1.0), Spherical(), Grid(3)], ids=repr)
def test_points_have_the_moments_of_a_normal_law(rule):
    for n in (1, 2, 5):
        at, mean, _, reach = rule.points(n)
        np.testing.assert_allclose(mean.sum(), 1.0)
        np.testing.assert_allclose(mean @ at, 0.0, atol=1e-12)
        np.testing.assert_allclose((mean[:, None] * at).T @ at, np.eye(n), atol=1e-12)
        if reach is not None:
            np.testing.assert_allclose(at[1 : 1 + n], reach * np.eye(n))
    if rule == Grid(3):
        np.testing.assert_allclose(mean @ at[:, 0] ** 4, 3.0)


def test_a_root_of_any_rank():
    rng = np.random.default_rng(0)
    for n, rank in ((1, 0), (3, 3), (5, 2), (9, 4)):
        factor = rng.normal(size=(n, rank))
        L = root(jnp.asarray(factor @ factor.T), True)
        np.testing.assert_allclose(L @ L.T, factor @ factor.T, atol=1e-12)
        np.testing.assert_array_equal(L, np.tril(L))


def test_paths_have_the_moments_of_the_smoother():
    _, general, y = both(*KINDS["singular"])
    engine, draws = UKF(), 4000
    smoothed = jit(lambda y: engine.smooth(general, y))(y)
    paths = jit(lambda keys: engine.paths(general, y, keys))(jax.random.split(jax.random.key(0), draws))
    sd = np.sqrt(np.diagonal(smoothed.cov, axis1=1, axis2=2))
    assert (np.abs(paths.mean(0) - smoothed.mean) < 4.5 * sd / np.sqrt(draws) + 1e-8).all()
    spread = np.asarray(paths) - np.asarray(smoothed.mean)
    np.testing.assert_allclose(np.einsum("dti,dtj->tij", spread, spread) / draws, smoothed.cov, atol=0.1)


def test_functions_without_library_calls_give_the_same():
    A = jnp.asarray(np.arange(12.0).reshape(3, 4) / 7)

    def function(x, t):
        v = x.at[np.array([0, 2])].set(jnp.sin(x[np.array([1, 3])]))
        return jnp.stack([(A @ v)[1] * x[0], v @ x, jax.nn.relu(x[2]) + A[1, t]]), x[np.arange(4)[::-1]][:, None] * A.T

    x, t = jnp.asarray([0.3, -1.0, 2.0, 0.7]), jnp.asarray(2)
    slopes = lambda f: jax.jacrev(lambda x: f(x, t)[0])
    plain, rewritten = (jit(lambda x, t, f=f: (f(x, t), slopes(f)(x)))(x, t) for f in (function, elementwise(function)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-14), rewritten[0], plain[0])
    np.testing.assert_allclose(rewritten[1], plain[1], rtol=1e-13)
    assert not calls_library(jax.make_jaxpr(slopes(elementwise(function)))(x).jaxpr)
    assert calls_library(jax.make_jaxpr(slopes(function))(x).jaxpr)


def test_slopes_in_both_modes_and_twice():
    data = jnp.arange(5.0)
    plain = lambda a, b: jnp.sum(jnp.sin(a * data) * b["c"]) * a
    kept = with_slopes(plain)
    reference = jit(lambda slope, a, b: slope(plain)(a, b), static_argnums=0)
    a, b = jnp.asarray(0.7), {"c": jnp.arange(5.0), "n": jnp.arange(3)}
    np.testing.assert_allclose(kept(a, b), plain(a, b))
    for slope in (jax.grad, jax.jacfwd, jax.hessian, lambda f: jax.grad(lambda a, b: f(a, {"c": a * b["c"]}))):
        np.testing.assert_allclose(jit(slope(kept))(a, b), reference(slope, a, b), rtol=1e-12)
    batch = jit(jax.vmap(jax.grad(kept), (0, None)))(jnp.asarray([0.1, 0.2]), b)
    np.testing.assert_allclose(batch, [reference(jax.grad, x, b) for x in (0.1, 0.2)])
