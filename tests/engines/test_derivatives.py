"""Derivatives against differences; jit, vmap and batches of data."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssmlang.engines import DiffuseHead, Kalman

from .programs import Kind, jit, random_data, random_program
from .test_kalman import close

STEPS = 7
KINDS = {
    "shared": Kind(n=2, m=2, r=3, order=2, noise_lags=1, rank=2, seed=31),
    "exact": Kind(n=2, m=1, r=1, order=2, noise="none", seed=32),
    "diffuse": Kind(n=2, m=1, r=2, noise="own", diffuse=2, rank=0, seed=33),
}


def numbers(program):
    return {name: np.asarray(getattr(program, name)) for name in "FcGHdJ"}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_gradient_is_the_limit_of_differences(name, missing):
    program, y = random_program(KINDS[name], STEPS), random_data(KINDS[name], STEPS, missing, (4,))
    engine = Kalman(diffuse=DiffuseHead(3, False)) if name == "diffuse" else Kalman()
    point, direction = numbers(program), {}
    rng = np.random.default_rng(7)
    for key, value in point.items():
        direction[key] = rng.normal(size=value.shape) * (value != 0)

    def along(h, direction, y):
        return engine.log_likelihood(replace(program, **{k: v + h * direction[k] for k, v in point.items()}), y)

    value_and_slope = LINES.setdefault(name, jit(jax.value_and_grad(along)))
    _, slope = value_and_slope(0.0, direction, y)
    h = 1e-3
    values = {k: float(value_and_slope(k * h, direction, y)[0]) for k in (-2, -1, 1, 2)}
    difference = (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * h)
    np.testing.assert_allclose(slope, difference, rtol=1e-6)


LINES: dict = {}


@pytest.mark.parametrize("name", KINDS)
def test_adjoint_is_the_derivative(name):
    """The closed form against differentiation of the scan, all arguments at once, varying matrices included."""
    kind = replace(KINDS[name], varying=name == "shared")
    program, y = random_program(kind, STEPS), random_data(kind, STEPS, 0.2, (4,))
    head = DiffuseHead(3, True)

    @partial(jit, static_argnums=0)
    def slopes(density, point, initial, y):
        def value(point, initial, y):
            return density(replace(program, **point, initial=program.initial._replace(**initial)), y)

        return jax.value_and_grad(value, argnums=(0, 1, 2))(point, initial, y)

    initial = {k: np.asarray(getattr(program.initial, k)) for k in ("mean", "factor", "cov", "diffuse")}
    engine = Kalman(diffuse=head)
    row_by_row = lambda program, y: jnp.sum(engine.log_likelihood_terms(program, y))
    plain = slopes(row_by_row, numbers(program), initial, y)
    closed = slopes(engine.log_likelihood, numbers(program), initial, y)
    close(plain[0], closed[0], 1e-12)
    symmetric = lambda tree: {**tree, "cov": tree["cov"] + tree["cov"].T}
    for a, b in zip(closed[1], plain[1], strict=True):
        a, b = (symmetric(t) if isinstance(t, dict) and "cov" in t else t for t in (a, b))
        jax.tree.map(lambda x, y: close(x, y, 1e-9), a, b)


def test_zero_noise_has_a_derivative():
    """Singular covariances everywhere: no state noise, no initial variance."""
    program = random_program(Kind(n=2, m=2, r=2, noise="own", rank=0, seed=34), STEPS)
    y = random_data(Kind(m=2, seed=34), STEPS)

    @jit
    def slope(G):
        return jax.grad(lambda G: Kalman().log_likelihood(replace(program, G=G), y))(G)

    got = np.asarray(slope(jnp.zeros_like(program.G)))
    # The likelihood is even in G: its derivative vanishes at G = 0.
    np.testing.assert_allclose(got, 0.0, atol=1e-12)


def test_vmap_over_parameters_and_data():
    kind = KINDS["diffuse"]
    program = random_program(kind, STEPS)
    engine = Kalman(diffuse=DiffuseHead(1, False))
    scales = np.array([0.5, 1.0, 2.0])
    data = np.stack([random_data(replace(kind, seed=s), STEPS, 0.3) for s in (1, 2, 3)])

    def value(scale, y):
        return engine.log_likelihood(replace(program, F=program.F * scale), y)

    together = jit(jax.vmap(value))(scales, data)
    one = jit(value)
    close(together, [float(one(a, y)) for a, y in zip(scales, data, strict=True)], 1e-10)
