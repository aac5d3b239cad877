"""Loops written out number by number: the same numbers as in arrays, none of them worked out for nothing."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxpr_as_fun

import ssmlang
from ssmlang.engines import _written
from ssmlang.engines._kernel import one_kernel, traced
from ssmlang.engines._products import product
from ssmlang.engines._written import written

rng = np.random.default_rng(4)
F, Y = 0.4 * rng.standard_normal((3, 3)), rng.standard_normal((9, 2))
EYE = np.eye(3)


@jax.custom_jvp
def halved(x):
    return 0.5 * x


halved.defjvp(lambda primals, tangents: (halved(*primals), 0.5 * tangents[0]))


def filtered(F, y):
    """Matrices, a choice, a maximum, and a count that goes along."""

    def row(carry, y):
        P, m, seen = carry
        P = product(product(F, P, True), F.T, True) + EYE
        w = 1.0 / (P[0, 0] + jnp.max(P[1]))
        v = jnp.where(y[1] > 0, y[0] - m[0], 0.0)
        m = jnp.concatenate([m[1:], m[:1]]) + P[:, 0] * w * v
        return (P - jnp.outer(P[0], P[0]) * w, m, seen + (y[1] > 0)), (m, w)

    return jax.lax.scan(row, (EYE, jnp.zeros(3), 0), y)


def shaped(F, y):
    """Operations on shapes, a loop within the loop, a derivative of its own, what is taken up by no rule of its own."""

    def row(total, y):
        wide = jnp.pad(F, ((1, 0), (0, 1)))[::-1].T
        inner, _ = jax.lax.scan(lambda a, b: (a * b + 1.0, None), total, F[0])
        at = jax.lax.dynamic_index_in_dim(F, jnp.int32(jnp.abs(y[0])) % 3, keepdims=False)
        parts = jnp.unstack(jnp.stack([y, y**2]))
        one = jax.lax.cond(y[0] > 0, jnp.sin, jnp.cos, halved(y[1]))
        any_, all_ = jnp.any(y > 0), jnp.all(y > 0)
        return total / 2 + wide.sum() + at.prod() + parts[1].min() + one, (inner, wide.reshape(2, 8), any_ & ~all_)

    return jax.lax.scan(row, jnp.float64(0.3), y, reverse=True)


def empty(F, y):
    return jax.lax.scan(lambda c, y: (c, jnp.zeros((0, 2)) + y), jnp.zeros(0), y)


def program(function, *args):
    return jax.make_jaxpr(function)(*args)


@pytest.mark.parametrize("function", [filtered, shaped, empty])
def test_numbers_are_those_of_arrays(function):
    closed = program(function, F, Y)
    found = jax.jit(lambda *args: written(closed.jaxpr, [*closed.consts, *args]))(F, Y)
    for a, b in zip(found, jaxpr_as_fun(closed)(F, Y), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("function", [filtered, shaped])
def test_a_kernel_by_numbers_and_its_derivatives(function):
    total = lambda f, F: sum(jnp.sum(x) for x in jax.tree.leaves(f(F, Y)) if jnp.issubdtype(x.dtype, jnp.floating))
    plain = jax.value_and_grad(lambda F: total(function, F))
    whole = one_kernel(plain, by_numbers=_written.LIMIT)
    assert traced(plain, [F], _written.LIMIT)[2]
    for a, b in zip(jax.tree.leaves(jax.jit(whole)(F)), jax.tree.leaves(plain(F)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    many = F + 0.01 * rng.standard_normal((5, 3, 3))
    small = one_kernel(function, by_numbers=_written.LIMIT)
    for a, b in zip(jax.tree.leaves(jax.jit(jax.vmap(small, (0, None)))(many, Y)),
                    jax.tree.leaves(jax.vmap(function, (0, None))(many, Y)), strict=True):  # fmt: skip
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def test_what_is_known_is_not_worked_out():
    """Of two entries of five states seen, nothing is left of the design's zeros and ones."""
    H = np.eye(5)[[0, 3]]

    def seen(P):
        return jax.lax.scan(lambda P, _: (P - (H @ P).T @ (H @ P), H @ P @ H.T + 0.0), P, None, length=3)

    closed = program(seen, np.eye(5))
    out = program(lambda P: written(closed.jaxpr, [*closed.consts, P]), np.eye(5))
    (loop,) = (e for e in out.jaxpr.eqns if e.primitive.name == "scan")
    body = loop.params["jaxpr"].jaxpr
    names = [e.primitive.name for e in body.eqns]
    assert names.count("mul") == 30  # a product of two numbers for each of 25 entries, those across once: 2 * 15
    assert names.count("sub") == 25 and not {"dot_general", "select_n"} & set(names)


def test_a_long_body_is_cut_where_few_numbers_go_across(monkeypatch):
    monkeypatch.setattr(_written, "SHORTEST", 8)
    monkeypatch.setattr(_written, "LONGEST", 20)
    closed = program(filtered, F, Y)
    given = jax.jit(lambda *args: written(closed.jaxpr, [*closed.consts, *args]))
    for a, b in zip(given(F, Y), jaxpr_as_fun(closed)(F, Y), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)

    def narrow(x, y):  # ten numbers and ten more, of which one goes across
        first = [jnp.sin(x + i) for i in range(10)]
        across = sum(first[1:], first[0])
        return sum((jnp.cos(across + i) for i in range(10)), y)

    body = program(narrow, 1.0, 2.0).jaxpr
    parts = _written._cut(body)
    assert [e for part in parts for e in part] == body.eqns
    assert all(8 <= len(part) <= 20 for part in parts[:-1])


def test_a_loop_that_is_too_long_stays_as_it_is():
    square = lambda A: jax.lax.scan(lambda A, _: (product(A, A, True), None), A, None, length=2)[0]
    assert traced(square, [np.eye(4)], 200)[2] and not traced(square, [np.eye(8)], 200)[2]
    assert _written.longest(program(square, np.eye(8)).jaxpr) >= 8**3


BENT = """
model bent
param a ~ LogNormal(0, 0.1)
def f(v) = [{moved}]
state x[{n}]
obs y[2]
init x ~ Normal([{zeros}], 1)
x[t] ~ Normal(f(x[t-1]), 0.3)
y[t] ~ Normal([exp(0.3 * x[t, 0]), x[t, 1]], 0.5)
"""


def bent(n):
    moved = ", ".join(f"v[{i}] + 0.05 * (a * sin(v[{(i + 1) % n}]) - v[{i}])" for i in range(n))
    return ssmlang.compile(BENT.format(moved=moved, n=n, zeros=", ".join("0" * n)))


@pytest.mark.parametrize(("n", "engine"), [(3, "ekf"), (2, "ukf"), (8, "ekf")])
def test_filters_by_numbers_are_those_by_operations(n, engine, monkeypatch):
    """The gradient of eight states: a lookup's derivative is a scatter, which is no part of a kernel."""
    model, y = bent(n), np.where(rng.uniform(size=(12, 2)) < 0.1, np.nan, 1 + 0.3 * rng.standard_normal((12, 2)))
    ask = lambda: jax.jit(jax.value_and_grad(lambda a: model.log_likelihood({"y": y}, {"a": a}, engine)))(1.1)
    found = ask()
    monkeypatch.setenv("SSMLANG_ONE_KERNEL", "0")
    np.testing.assert_allclose(found, ask(), rtol=1e-12)
