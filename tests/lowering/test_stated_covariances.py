"""A covariance that the model states is read as it stands where a factor of it would be multiplied out again."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np
import pytest

import ssmlang
from ssmlang.frontend import check_text
from ssmlang.lowering.gaussian import GaussianLowering
from ssmlang.model.linear import LinearForm, linear_form

DENSE = """
model dense
param Q[3, 3]
param R[2, 2]
param F[3, 3]
state x[3]
obs y[2]
init x ~ Normal(0, 1)
x[t] ~ MvNormal(F @ x[t-1], Q)
y[t] ~ MvNormal([[1, 0, 0], [0, 1, 0]] @ x[t], R)
"""
# The noise of x is read by y, too, so that the memory holds it.
SHARED = """
model shared
param Q[3, 3]
param R[2, 2]
param F[3, 3]
state x[3]
obs y[2]
noise w[3] ~ MvNormal([0, 0, 0], Q)
init x ~ Normal(0, 1)
x[t] = F @ x[t-1] + w[t]
y[t] ~ MvNormal([[1, 0, 0], [0, 1, 0]] @ x[t] + [[0, 0.3, 0], [0, 0, 0.3]] @ w[t], R)
"""
CHANGING = DENSE.replace(
    "param F", "const Q0 = [[1, 0.2, 0], [0.2, 1, 0], [0, 0, 1]]\nconst R0 = [[1, 0.5], [0.5, 2]]\nparam F"
)
CHANGING = CHANGING.replace(", Q)", ", Q + abs(sin(t)) * Q0)").replace(", R)", ", R + abs(cos(t)) * R0)")
PARTLY = """
model partly
param Q[2, 2]
param R[2, 2]
param F
state a[2], b
obs y[2], z
init a ~ Normal(0, 1)
init b ~ Normal(0, 1)
a[t] ~ MvNormal(0.5 * a[t-1], Q)
b[t] ~ Normal(F * b[t-1], 0.4)
y[t] ~ MvNormal(a[t], R)
z[t] ~ Normal([1, 0] @ a[t] + b[t], 0.7)
"""
TEXTS = {"dense": DENSE, "shared": SHARED, "changing": CHANGING, "partly": PARTLY}


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def given(text: str, rank: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    k = 2 if "Q[2" in text else 3
    G, L = rng.normal(size=(k, min(rank, k))), rng.normal(size=(2, min(rank, 2)))
    F = 0.2 * rng.normal(size=(3, 3)) + 0.5 * np.eye(3)
    return {"Q": G @ G.T, "R": L @ L.T, "F": F if k == 3 else F[0, 0]}


def data(text: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    y = rng.normal(size=(40, 2))
    y[7, 0] = y[9] = np.nan
    return {"y": y} | ({"z": rng.normal(size=40)} if "obs y[2], z" in text else {})


@pytest.mark.parametrize("name", TEXTS)
def test_value_and_gradient_are_those_by_a_factor(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, at, y = TEXTS[name], given(TEXTS[name]), data(TEXTS[name])

    def found() -> tuple:
        model = ssmlang.compile(text)
        value, slopes = jax.value_and_grad(lambda p: model.log_likelihood(y, p))(at)
        # Of a symmetric matrix the two places of an entry move together.
        return value, {k: v if k == "F" else v + v.T for k, v in slopes.items()}, model.smooth(y, at)

    value, slopes, smoothed = found()
    monkeypatch.setattr(GaussianLowering, "stated", ())
    expected, by_factor, moments = found()
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    for k in at:
        np.testing.assert_allclose(slopes[k], by_factor[k], rtol=1e-8, atol=1e-10)
    for k in moments.data_vars:
        np.testing.assert_allclose(smoothed[k], moments[k], rtol=1e-9, atol=1e-11)


def test_which_are_found() -> None:
    rows = {}
    for name, text in TEXTS.items():
        model = check_text(text).require()
        form = linear_form(model)
        assert isinstance(form, LinearForm)
        rows[name] = [(s.matrix, s.rows) for s in GaussianLowering(model, form).stated]
    both = [("G", (0, 1, 2)), ("J", (0, 1))]
    assert rows == {"dense": both, "shared": both, "changing": both, "partly": [("G", (0, 1)), ("J", (0, 1))]}


@pytest.mark.parametrize("rank", [0, 1])
def test_gradient_where_the_rank_is_deficient(rank: int) -> None:
    """In every direction, those that raise the rank as well."""
    at, y, model = given(DENSE, rank), data(DENSE), ssmlang.compile(DENSE)
    at["R"] = at["R"] + np.eye(2) if rank == 0 else at["R"]
    value = jax.jit(lambda p: model.log_likelihood(y, p))
    slopes = jax.jit(jax.grad(value))(at)
    rng, h = np.random.default_rng(5), 1e-6
    for name, k in (("Q", 3), ("R", 2)):
        G = rng.normal(size=(k, k))
        up = [value({**at, name: at[name] + i * h * G @ G.T}) for i in range(3)]
        slope = (4 * up[1] - up[2] - 3 * up[0]) / (2 * h)
        np.testing.assert_allclose(np.sum(slopes[name] * (G @ G.T)), slope, rtol=1e-6)


@pytest.mark.parametrize("name", ["Q", "R"])
def test_what_is_no_covariance(name: str) -> None:
    at, y, model = given(DENSE), data(DENSE), ssmlang.compile(DENSE)
    at[name][0, 1] = at[name][1, 0] = 50.0
    assert np.isnan(jax.jit(lambda p: model.log_likelihood(y, p))(at))
