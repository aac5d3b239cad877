"""Logarithmic depth: the same numbers as row after row, where covariances are singular too."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ssmlang
from ssmlang.engines import DiffuseHead, Initial, Kalman, Parallel
from ssmlang.engines._rotations import product, reflect, square
from ssmlang.engines.layout import Layout

from .oracle import Dense
from .programs import Kind, jit, make, random_data, random_program
from .test_diffuse import PROGRAMS, data_for
from .test_kalman import close

STEPS = 8
ENGINE = Parallel(block=3)
FIELDS = ("F", "c", "G", "H", "d", "J")


def everything(program, y):
    value, slope = jax.value_and_grad(ENGINE.log_likelihood, allow_int=True)(program, y)
    return value, slope, ENGINE.filter(program, y, memory=True), ENGINE.smooth(program, y, memory=True)


EVERYTHING = jit(everything)
SLOPE = jit(jax.grad(Kalman(diffuse=DiffuseHead(STEPS, True)).log_likelihood, allow_int=True))
CASES = {
    "moving average seen exactly": Kind(n=1, m=1, r=1, order=2, noise_lags=2, noise="none", seed=6),
    "varying": Kind(n=2, m=3, r=5, order=2, emission_lags=1, noise_lags=1, emission_noise_lags=1, varying=True, seed=9),
    "more seen than states": Kind(n=2, m=4, r=1, noise="dense", rank=0, seed=10),
}


@pytest.mark.parametrize("name", [*CASES, "never seen", "exact"])
def test_moments_density_and_gradient(name):
    """Against dense linear algebra; gradients against the covariance form."""
    if name in CASES:
        program, y = random_program(CASES[name], STEPS), random_data(CASES[name], STEPS, 0.25, (0, 4, 7))
    else:
        program, y = PROGRAMS[name], data_for(PROGRAMS[name], "full")
    dense, n = Dense(program, STEPS), program.structure.n
    value, slope, filtered, smoothed = EVERYTHING(program, y)
    close(value, dense.log_likelihood(y))
    close(np.sum(smoothed.log_likelihood), dense.log_likelihood(y))
    before = 0.0
    for t in range(STEPS):
        total = dense.log_likelihood(y, t + 1)
        close(filtered.log_likelihood[t], total - before, 1e-8)
        before = total
        for mean, cov, target, rows in [
            (filtered.memory_mean, filtered.memory_cov, dense.memory, t + 1),
            (filtered.predicted_mean, filtered.predicted_cov, dense.x, t),
            (filtered.observed_mean, filtered.observed_cov, dense.y, t),
            (smoothed.memory_mean, smoothed.memory_cov, dense.memory, STEPS),
            (smoothed.observed_mean, smoothed.observed_cov, dense.signal, STEPS),
        ]:
            want = dense.posterior(target[t], y, rows)
            close(mean[t], want[0], 1e-8)
            close(cov[t], want[1], 1e-8)
    close(filtered.mean, filtered.memory_mean[:, :n])
    close(smoothed.cov, smoothed.memory_cov[:, :n, :n])
    other = SLOPE(program, y)
    for field in FIELDS:
        read = np.asarray(getattr(program, field)) != 0
        close(np.asarray(getattr(slope, field))[read], np.asarray(getattr(other, field))[read], 1e-8)
    close(slope.initial.mean, other.initial.mean, 1e-8)
    close(slope.initial.diffuse, other.initial.diffuse, 1e-8)


def trend(loading, initial):
    """A local linear trend whose level and slope share one noise, or whose level has none."""
    F = np.array([[[1.0, 1.0], [0.0, 1.0]]])
    G = np.concatenate([np.asarray(loading, float), np.zeros((2, 1))], axis=1)[None]
    return make(F, G, [[[1.0, 0.0]]], [[[0.0, 0.7]]], cov=initial)


@pytest.mark.parametrize("initial", [np.eye(2), np.zeros((2, 2)), np.ones((2, 2))], ids=["full", "none", "rank one"])
@pytest.mark.parametrize("loading", [[[0.3], [0.1]], [[0.0], [0.2]]], ids=["shared", "slope alone"])
def test_singular_noise(loading, initial):
    """Over a hundred rows, where parallel filters that solve with a covariance give no number or a wrong one."""
    program = trend(loading, initial)
    y = 0.1 * np.cumsum(np.cumsum(np.random.default_rng(3).normal(size=(100, 1)), axis=0), axis=0)
    y[[20, 21, 57]] = np.nan
    value, slope, filtered, smoothed = LONG(program, y)
    close(value, Dense(program, 100).log_likelihood(y))
    other_value, other = LONG_KALMAN(program, y)
    close(value, other_value)
    for field in FIELDS:
        read = np.asarray(getattr(program, field)) != 0
        close(np.asarray(getattr(slope, field))[read], np.asarray(getattr(other, field))[read], 1e-8)
    close(slope.initial.mean, other.initial.mean, 1e-8)
    want = KALMAN_MOMENTS(program, y)
    close(filtered.cov, want[0].cov)
    close(smoothed.cov, want[1].cov, 1e-8)
    close(smoothed.mean, want[1].mean, 1e-8)


def long(program, y):
    engine = Parallel()
    value, slope = jax.value_and_grad(engine.log_likelihood, allow_int=True)(program, y)
    return value, slope, engine.filter(program, y), engine.smooth(program, y)


LONG = jit(long)
LONG_KALMAN = jit(jax.value_and_grad(Kalman().log_likelihood, allow_int=True))
KALMAN_MOMENTS = jit(lambda program, y: (Kalman().filter(program, y), Kalman().smooth(program, y)))


def test_initial_covariance_has_its_gradient_at_any_rank():
    """P0 = s^2 v v': the derivative with respect to s goes through a root of a singular matrix."""
    program, y = trend([[0.3], [0.1]], np.zeros((2, 2))), np.sin(np.arange(6.0))[:, None]

    def of(engine):
        def value(s):
            v = jnp.array([s, 0.5 * s])
            initial = program.initial._replace(cov=jnp.outer(v, v))
            return engine.log_likelihood(replace(program, initial=Initial(*initial)), y)

        return jit(jax.grad(value))

    ours, theirs = of(ENGINE), of(Kalman())
    close(ours(0.8), theirs(0.8))
    close(ours(0.0), theirs(0.0))


@pytest.mark.parametrize("steps", [1, 3, 33])
def test_any_length(steps):
    program = trend([[0.3], [0.1]], np.eye(2))
    y = np.cos(np.arange(steps))[:, None]
    terms, smoothed = jit(lambda p, y: (Parallel(block=4).log_likelihood_terms(p, y), Parallel(block=4).smooth(p, y)))(
        program, y
    )
    dense = Dense(program, steps)
    close(np.sum(terms), dense.log_likelihood(y))
    close(smoothed.mean[0], dense.posterior(dense.x[0], y, steps)[0])


def test_large_levels_lose_no_digits():
    """A level of a million with noise of one: densities are sums of small numbers, nothing big cancels."""
    program = make([[[1.0]]], [[[0.0, 0.0]]], [[[1.0]]], [[[0.0, 1.0]]], diffuse=[[1.0]])
    noise = np.random.default_rng(1).normal(size=(64, 1))
    small, large = jit(Parallel().log_likelihood)(program, noise), jit(Parallel().log_likelihood)(program, noise + 1e6)
    close(large, small)


def test_first_row_is_exact_where_it_must_be():
    """P0 = 0 and no noise: y_0 says nothing if it agrees, and is impossible if it does not."""
    program = make([[[0.9]]], [[[0.5]]], [[[1.0]]], [[[0.0]]], mean=[2.0])
    terms = jit(ENGINE.log_likelihood_terms)
    y = np.array([[2.0], [1.5], [1.0]])
    close(terms(program, y), [0.0, *(-0.5 * (e / 0.5) ** 2 - np.log(0.5 * np.sqrt(2 * np.pi)) for e in (-0.3, -0.35))])
    y[0] = 2.1
    assert terms(program, y)[0] == -np.inf


def test_what_is_known_from_the_row_before_is_refused():
    line = make([[[1.0, 1.0], [0.0, 1.0]]], np.zeros((1, 2, 1)), [[[1.0, 0.0]]], np.zeros((1, 1, 1)), cov=np.eye(2))
    assert Layout(line.structure).can_be_predicted_exactly
    with pytest.raises(ValueError, match="known exactly"):
        ENGINE.log_likelihood(line, np.zeros((4, 1)))
    noisy = make([[[0.9]]], [[[0.5]]], [[[1.0]]], [[[0.0]]], cov=[[1.0]])
    silent = replace(noisy, G=np.zeros((1, 1, 1)))
    assert np.isnan(jit(ENGINE.log_likelihood)(silent, np.zeros((4, 1))))


def test_no_second_derivative():
    program, y = trend([[0.3], [0.1]], np.eye(2)), np.zeros((4, 1))
    value = lambda s: ENGINE.log_likelihood(replace(program, G=s * jnp.asarray(program.G)), y)
    with pytest.raises(NotImplementedError, match="kalman"):
        jax.make_jaxpr(jax.hessian(value))(1.0)


def test_paths_given_the_data():
    """What holds exactly holds in every path; mean and covariance over time are the smoother's."""
    program = trend([[0.3], [0.1]], np.diag([1.0, 0.2]))
    y = np.array([0.3, np.nan, 1.1, 0.9, np.nan, 1.7])[:, None]
    paths = np.asarray(jit(ENGINE.sample, static_argnums=3)(program, y, jax.random.key(0), 4000))
    dense = Dense(program, 6)
    want, cov = dense.posterior(type(dense.x[0]).stack([dense.x[t] for t in range(6)]), y, 6)
    flat = paths.reshape(4000, -1)
    sd = np.sqrt(np.diag(cov))
    assert np.abs((flat.mean(axis=0) - want) / sd).max() < 4.5 / np.sqrt(4000)
    assert np.abs((np.cov(flat.T) - cov) / np.outer(sd, sd)).max() < 6 / np.sqrt(4000)
    level, slope = paths[..., 0], paths[..., 1]
    moves = np.diff(level, axis=1) - slope[:, :-1] - 3 * np.diff(slope, axis=1)
    assert np.abs(moves).max() < 1e-12


def test_single_precision():
    program, y = trend([[0.3], [0.1]], np.eye(2)), np.sin(np.arange(40.0))[:, None]
    exact = jit(ENGINE.log_likelihood)(program, y)
    with jax.enable_x64(False):
        found = jit(ENGINE.log_likelihood)(program, y)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, exact, rtol=1e-5)


@pytest.mark.parametrize(("dtype", "tiny"), [("float32", 3e-22), ("float64", 3e-161)])
def test_rows_whose_squares_vanish_are_turned_by_an_orthogonal_matrix(dtype, tiny):
    """Products of transitions over many rows come to that; what stands below them keeps its covariance."""
    rng = np.random.default_rng(0)
    above, rest = rng.normal(size=(2, 4, 9)) * tiny, rng.normal(size=(3, 4, 9))
    turned = np.asarray(jax.jit(reflect, static_argnums=1)(jnp.asarray(np.concatenate([above, rest]), dtype), 2))
    np.testing.assert_allclose(square(turned[2:]), square(rest), rtol=0, atol=100 * np.finfo(dtype).eps)
    assert np.abs(turned[0, 1:]).max() < 1e-5 * tiny


def test_products_of_what_is_constant_in_single_precision():
    """Repeated over the rows, where a compiler's reduction has read beyond the arrays' ends."""
    A, b = jnp.ones((3, 10), "float32"), jnp.zeros((10, 1), "float32")
    repeated = lambda a: jnp.broadcast_to(a[..., None], (*a.shape, 999))
    found = jax.jit(lambda A, b: product(repeated(A), repeated(b)))(A, b + 1)
    np.testing.assert_array_equal(found, np.full((3, 1, 999), 10.0))


def test_a_block_is_more_than_one_row():
    with pytest.raises(ValueError, match="block"):
        Parallel(block=1)


def test_it_may_be_part_of_a_program_in_single_precision():
    """Its passes are lowered in the precision they were traced in, not in that of the program around them."""
    model = ssmlang.compile(
        "param q, r in (0, inf)\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t] ~ Normal(x[t-1], q)\ny[t] ~ Normal(x[t], r)"
    )
    data = {"y": np.sin(np.arange(30.0))}
    value = lambda q: model.log_likelihood(data, {"q": q, "r": 0.5}, engine="parallel")
    with jax.enable_x64(False):
        found, slope = jax.jit(jax.value_and_grad(value))(0.3)
        expected = jax.jit(lambda q: model.log_likelihood(data, {"q": q, "r": 0.5}))(0.3)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.isfinite(slope)
