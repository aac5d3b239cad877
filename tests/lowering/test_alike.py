"""Parts of an array that are written alike are computed together, and the others by themselves, to the same numbers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ssmlang
from ssmlang.lowering import alike as parts
from ssmlang.lowering.alike import FEWEST, alike
from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.model import expr
from ssmlang.model.expr import Node

COUNT = FEWEST + 2
PANEL = """model panel
const sites = {sites}
axis site = 1..sites
param F[site, 2, 2]
param Q[site, 2, 2]
param sd[site] in (0, inf)
state x[site, 2]
obs   y[site]
init x ~ Normal(0, 1)
x[t, i] ~ MvNormal(F[i] @ x[t-1, i], Q[i]) for i in site
y[t, i] ~ Normal(x[t, i, 1], sd[i])        for i in site
"""


def at(base: Node, i: int) -> Node:
    return expr.index(base, [expr.const(i)])


def param(name: str, *shape: int) -> Node:
    return Node("param", (), (name,), shape, (None,) * len(shape))


A, B = param("A", COUNT, 3, 3), param("B", COUNT)
ROOTS = [expr.linalg("cholesky", [at(A, i)], (3, 3)) for i in range(COUNT)]
CASES = {
    "factors side by side": expr.concat([expr.reshape(r, (9,)) for r in ROOTS]),
    "along the second axis": expr.concat(ROOTS, 1),
    "stacked, with numbers of their own": expr.stack(
        [expr.mul(at(B, i), expr.const(0.3 * i + 0.2)) for i in range(COUNT)]
    ),
    "within each other": expr.stack(
        [expr.concat([expr.reshape(at(B, (i + j) % COUNT), (1,)) for j in range(COUNT)]) for i in range(COUNT)]
    ),
    "something that all read": expr.stack([expr.add(ROOTS[0], at(A, i)) for i in range(COUNT)]),
}
APART = {
    "one is written in another way": expr.stack([at(B, 0), *(expr.unary("exp", at(B, i)) for i in range(1, COUNT))]),
    "powers": expr.stack([expr.binary("pow", at(B, i), expr.const(i)) for i in range(COUNT)]),
    "the first reads a thing twice": expr.stack(
        [expr.mul(*[at(B, 1)] * 2)] + [expr.mul(at(B, i), at(B, 0)) for i in range(1, COUNT)]
    ),
}


def numbers(node: Node, monkeypatch: pytest.MonkeyPatch, fewest: int) -> np.ndarray:
    monkeypatch.setattr(parts, "FEWEST", fewest)
    rng = np.random.default_rng(0)
    root = rng.normal(size=(COUNT, 3, 3))
    params = {"A": root @ root.transpose(0, 2, 1) + np.eye(3), "B": rng.normal(size=COUNT)}
    with jax.enable_x64(True):
        return np.asarray(evaluate([node], Environment(params=params))[0])


@pytest.mark.parametrize("node", CASES.values(), ids=CASES)
def test_computed_together(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    assert alike(node) is not None
    found = numbers(node, monkeypatch, FEWEST)
    assert found.shape == node.shape
    np.testing.assert_allclose(found, numbers(node, monkeypatch, COUNT + 1), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("node", APART.values(), ids=APART)
def test_computed_one_by_one(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    assert alike(node) is None
    found = numbers(node, monkeypatch, FEWEST)
    np.testing.assert_allclose(found, numbers(node, monkeypatch, COUNT + 1), rtol=1e-14)


def operations(sites: int) -> int:
    model = ssmlang.compile(PANEL.format(sites=sites))
    params = {"F": jnp.zeros((sites, 2, 2)), "Q": jnp.broadcast_to(jnp.eye(2), (sites, 2, 2)), "sd": jnp.ones(sites)}
    data = {"y": np.random.default_rng(1).normal(size=(6, sites))}
    made = jax.make_jaxpr(lambda p: model.log_likelihood(data, p))(params)
    return sum(1 for _ in str(made).splitlines())


def test_a_panel_is_no_larger_a_program_for_more_series() -> None:
    assert operations(40) == operations(20)
