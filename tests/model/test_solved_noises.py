"""Which noises observations tell exactly, and what is written for them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import ssmlang
from ssmlang.model.model import Model
from ssmlang.model.show import show
from ssmlang.model.solved_noises import chances, read_in_own_row, solved

HEAD = "noise e ~ Normal(0, 2)\nstate x\nobs y\ninit x = 1\n"


def spec(text: str) -> Model:
    return ssmlang.compile(text).spec


def written(text: str) -> list[str]:
    model = solved(spec(text))
    found = []
    for e in model.equations:
        args = list(e.law.args.values()) if e.law is not None else [e.value]
        found.append(f"{e.law.name if e.law else ''}({', '.join(show(a) for a in args if a is not None)})")
    return found


def test_what_is_written() -> None:
    moved = written(HEAD + "x[t] = sin(x[t-1]) + abs(e[t-1])\ny[t] = x[t] + exp(x[t]) * e[t]\n")
    assert moved == ["(sin(x[t-1]) + abs((y[t-1] - x[t-1]) / exp(x[t-1])))", "Normal(x[t], exp(x[t]) * [2])"]
    text = HEAD.replace("Normal(0, 2)", "Gamma(3, 3)") + "x[t] = 0.1 + 0.5 * x[t-1] + 0.4 * x[t-1] * e[t-1]\n"
    assert written(text + "y[t] = x[t] * e[t]\n")[1] == "Gamma(3, [3] / x[t])"
    assert written(text.replace("Gamma(3, 3)", "LogNormal(0, 1)") + "y[t] = x[t] * e[t]\n")[1] == (
        "LogNormal(log(x[t]), 1)"
    )
    own = HEAD.replace("init x", "init x[-1]") + "x[t] = sin(x[t-1]) + e[t]\ny[t] = x[t-1] + e[t]\n"
    assert written(own)[::-1] == ["(sin(x[t-1]) + y[t] - x[t-1])", "Normal(x[t-1], 2)"]
    assert read_in_own_row(solved(spec(own))) == ("y",)


def test_entries_are_told_by_their_own_observations() -> None:
    text = "axis k = {a, b}\nnoise e[k] ~ Normal(0, [1, 2])\nstate x[k]\nobs y, z\ninit x = [0, 0]\n"
    text += "x[t, i] = sin(x[t-1, i]) + e[t-1, i]^2 for i in k\nz[t] = x[t, b] + 3 * e[t, b]\n"
    text += "y[t] = x[t, a] + e[t, a]\n"
    model = ssmlang.compile(text)
    y, z = [0.5, 1.0], [2.0, -1.0]
    found = model.filter({"y": y, "z": z}, {})
    assert found.attrs["engine"] == "recursion"
    assert found["mean"].values[1] == pytest.approx([0.25, 4 / 9])
    assert found["observed_cov"].values[0].diagonal() == pytest.approx([1, 36])


@pytest.mark.parametrize("law", ["MvNormal([0.2, 0], [[1, 0.6], [0.6, 1]])",
                                 "MvNormal([0.2, 0], scale_tril = [[1, 0], [0.6, 0.8]])"])  # fmt: skip
def test_noises_that_go_together(law: str) -> None:
    """GARCH with constant correlations (Bollerslev 1990)."""
    text = f"noise z[2] ~ {law}\nstate v[2]\nobs r[2]\ninit v = [0.5, 2]\n"
    text += "v[t] = 0.1 + 0.2 * v[t-1] * z[t-1]^2 + 0.7 * v[t-1]\nr[t] = 0.1 + sqrt(v[t]) * z[t]\n"
    r, v, expected = np.random.default_rng(0).normal(size=(8, 2)), np.array([0.5, 2.0]), 0.0
    for value in r:
        root = np.sqrt(v)
        cov = np.array([[1, 0.6], [0.6, 1]]) * np.outer(root, root)
        expected += stats.multivariate_normal.logpdf(value, 0.1 + root * [0.2, 0], cov)
        v = 0.1 + 0.2 * (value - 0.1) ** 2 + 0.7 * v
    model = ssmlang.compile(text)
    assert model.why().chosen == "recursion"
    assert float(model.log_likelihood({"r": r}, {})) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "x[t] = sin(x[t-1]) + e[t-1]^2\ny[t] = x[t] + e[t]^3\n",  # not affine
        HEAD + "x[t] = sin(x[t-1]) + e[t-1]^2\ny[t] ~ Normal(x[t] + e[t], 1)\n",  # a noise beside
        HEAD + "x[t] = sin(x[t-1]) + e[t]\ny[t] = x[t] + e[t]\n",  # in a circle
        HEAD.replace("Normal", "Laplace") + "x[t] = x[t-1] + e[t-1] * e[t-2]\ny[t] = x[t] + e[t]\n",  # reads e[-1]
        HEAD.replace("Normal(0, 2)", "Gamma(3, 3)") + "x[t] = sin(x[t-1]) + e[t-1]\ny[t] = x[t] + e[t]\n",  # moved
        HEAD + "x[t] = sin(x[t-1])\ny[t] = x[t] + e[t]\n",  # no state reads it
    ],
)  # fmt: skip
def test_what_stays(text: str) -> None:
    model = spec(text)
    assert solved(model) is model


def test_what_chance_moves() -> None:
    told = lambda text: [c.label for c in chances(solved(spec(text)))]
    assert told(HEAD + "x[t] = sin(x[t-1]) + e[t-1]^2\ny[t] = x[t] + e[t]\n") == []
    started = HEAD.replace("= 1", "~ Normal(0, 1)")
    assert told(started + "x[t] = sin(x[t-1])\ny[t] = x[t] + e[t]\n") == ["x has a law, and no known start"]
    assert told(HEAD + "x[t] ~ Normal(sin(x[t-1]), 1)\ny[t] = x[t] + e[t]\n") == ["x is moved by a law of its own"]
