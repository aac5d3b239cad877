"""The prior as a check: draws against their laws and the engine's, and models with known faults and without."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import ssmlang
from ssmlang.analysis.budget import Budget
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding
from ssmlang.analysis.prior_paths import NotDrawn, draw_law, paths
from ssmlang.analysis.prior_sense import check, digits_apart
from ssmlang.data.binding import bind
from ssmlang.frontend import check_text
from ssmlang.model import expr
from ssmlang.model.linear import linear_form
from ssmlang.model.model import Dist
from tests.analysis.programs import context_of

AR = "param phi in (-1, 1) ~ Normal(0.5, 0.3)\nparam s ~ HalfNormal(1)\nstate x\nobs y\n"
STEP = "init x ~ Stationary()\nx[t] ~ Normal(phi * x[t-1], s)\n"


def findings(text: str, data: object = None, rows: int | None = None) -> list[Finding]:
    model = check_text(text).require()
    bound = bind(model, data) if data is not None else None
    length = rows if bound is None else max(b.steps for b in bound)
    return check(Context(model, linear_form(model), Budget(30), length, bound))


SANE = {
    "autoregression": AR + STEP + "y[t] ~ Normal(x[t], 1)\n",
    "random walk": (
        "param s ~ HalfNormal(1)\nstate x\nobs y\ninit x ~ Diffuse()\nx[t] ~ Normal(x[t-1], s)\ny[t] = x[t]\n"
    ),
    "a trend that bends": (
        "param s ~ HalfNormal(1)\nstate a, b\nobs y\ninit a, b ~ Normal(0, 1)\na[t] = a[t-1] + b[t-1]\n"
        "b[t] ~ Normal(b[t-1], s)\ny[t] ~ Normal(a[t], 1)\n"
    ),
    "counts": (
        "param phi in (-1, 1) ~ Normal(0.5, 0.2)\nstate x\nobs y\ninit x ~ Normal(0, 0.3)\n"
        "x[t] ~ Normal(phi * x[t-1], 0.3)\ny[t] ~ Poisson(exp(1 + x[t]))\n"
    ),
    "regimes": (
        "axis regime = {up, down}\nparam growth[regime] ~ Normal(0, 1)\nparam stay[regime] ~ Beta(9, 1)\n"
        "let Q = [[stay[up], 1 - stay[up]], [1 - stay[down], stay[down]]]\nstate s in regime\nobs y\n"
        "init s ~ Categorical([0.5, 0.5])\ns[t] ~ Categorical(Q[s[t-1]])\ny[t] ~ Normal(growth[s[t]], 1)\n"
    ),
    "heavy tails in scale, not in time": (
        "param s ~ HalfCauchy(1)\nobs y\ny[t] ~ Normal(0, s)\n"
    ),
    "trend and cycle of one law": (
        "param phi in (-1, 1) ~ Normal(0, 0.5)\nparam rho in (-1, 1) ~ Normal(0, 0.5)\nstate a, c\nobs y\n"
        "init a ~ Diffuse()\ninit c ~ Stationary()\n"
        "(a[t], c[t]) ~ MvNormal([a[t-1], phi * c[t-1]], [[1, rho], [rho, 1]])\ny[t] = a[t] + c[t]\n"
    ),
}  # fmt: skip

FAULTY = {
    "explosive": ("W630", "param a ~ Normal(0, 2)\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
                  "x[t] ~ Normal(a * x[t-1], 1)\ny[t] ~ Normal(x[t], 1)\n"),
    "explosive and nonlinear": ("W630", "param a ~ HalfNormal(1)\nstate x\nobs y\ninit x ~ Normal(1, 0.1)\n"
                                "x[t] ~ Normal(x[t-1] + a * x[t-1]^2, 0.1)\ny[t] ~ Normal(x[t], 1)\n"),
    "explosive rate": ("W630", "param a ~ HalfNormal(1)\nstate x\nobs y\ninit x = 0\nx[t] = x[t-1] + a\n"
                       "y[t] ~ Poisson(exp(x[t]))\n"),
    "scale below zero": ("W632", "param sd ~ Normal(1, 1)\nobs y\ny[t] ~ Normal(0, sd)\n"),
    "rate below zero": ("W632", "param r ~ Normal(2, 1)\nobs y\ny[t] ~ Poisson(r)\n"),
    "probability above one": ("W632", "param p ~ HalfNormal(1)\nobs y\ny[t] ~ Bernoulli(p)\n"),
    "difference of scales": ("W632", "param a, b ~ HalfNormal(1)\nobs y\ny[t] ~ Normal(0, a - b)\n"),
    "scale of a noise": ("W632", "param q ~ Normal(0, 1)\nnoise e ~ Normal(0, q)\nstate x\nobs y\n"
                         "init x ~ Normal(0, 1)\nx[t] = 0.5 * x[t-1] + e[t]\ny[t] ~ Normal(x[t], 1)\n"),
    "tail": ("W633", "param a in (5, 6) ~ Normal(0, 1)\nobs y\ny[t] ~ Normal(a, 1)\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", SANE)
def test_sane(name: str) -> None:
    found = findings(SANE[name])
    assert [f.verdict for f in found] == ["proved"], found


@pytest.mark.parametrize("name", FAULTY)
def test_faulty(name: str) -> None:
    code, text = FAULTY[name]
    found = findings(text)
    assert code in {f.code for f in found}, found
    assert all(f.fix and f.headline for f in found if f.verdict == "refuted")


def test_share_of_the_prior_outside() -> None:
    [f] = findings(FAULTY["scale below zero"][1])
    assert f"; {stats.norm.cdf(-1):.0%} of the prior is not" in f.reason
    assert f.fix is not None and "in (0, inf)" in f.fix
    truncated = FAULTY["scale below zero"][1].replace("param sd ~", "param sd in (-1, 3) ~")
    inside = (stats.norm.cdf(2) - stats.norm.cdf(-1)) / (stats.norm.cdf(2) - stats.norm.cdf(-2))
    assert f"; {1 - inside:.0%} of the prior is not" in findings(truncated)[0].reason
    [f] = findings(FAULTY["difference of scales"][1])
    assert abs(int(f.reason.split("about ")[1].split("%")[0]) - 50) < 12


def test_mass_of_a_tail_is_said() -> None:
    f = next(f for f in findings(FAULTY["tail"][1]) if f.code == "W633")
    assert "3e-07" in f.reason  # Phi(6) - Phi(5)


def test_scale_against_the_data() -> None:
    text = SANE["autoregression"]
    rng = np.random.default_rng(0)
    y = rng.normal(size=50)
    assert [f.verdict for f in findings(text, {"y": y})] == ["proved"]
    [wide] = findings(text, {"y": 1e4 * y})
    assert wide.code == "W631" and wide.headline is not None and "narrower under the prior" in wide.headline
    [narrow] = findings(text, {"y": 1e-4 * y})
    assert narrow.code == "W631" and narrow.headline is not None and "wider under the prior" in narrow.headline
    [away] = findings(text, {"y": 1e4 + y})
    assert away.code == "W631" and "about 1e+04" in away.reason
    assert "s 0." in wide.details[0]


def test_a_diffuse_level_starts_where_the_data_are() -> None:
    y = 1e6 + np.random.default_rng(1).normal(size=40).cumsum()
    assert [f.verdict for f in findings(SANE["random walk"], {"y": y})] == ["proved"]


def test_inputs_come_with_the_data() -> None:
    text = "param b ~ Normal(0, 1)\ninput u\nobs y\ny[t] ~ Normal(b * u[t], 1)\n"
    [f] = findings(text)
    assert f.verdict == "unknown" and "u must be given" in f.reason
    [f] = findings(text, {"u": np.ones(20), "y": np.zeros(20)})
    assert f.verdict == "proved"


def test_what_cannot_be_drawn_is_unknown() -> None:
    text = "param s ~ HalfNormal(1)\nstate x\nobs y\ninit x ~ Normal(0, 1)\n" + (
        "x[t] ~ Normal(sum(sum(0.3^(j * k) * x[t-j] for j in 1..t) for k in 1..t), s)\ny[t] ~ Normal(x[t], 1)\n"
    )
    [f] = findings(text)
    assert f.verdict == "unknown" and "whole past" in f.reason


@pytest.mark.parametrize(
    ("name", "args", "law"),
    [
        ("Normal", {"loc": 1.0, "scale": 2.0}, stats.norm(1, 2)),
        ("StudentT", {"df": 7.0, "loc": -1.0, "scale": 0.5}, stats.t(7, -1, 0.5)),
        ("Laplace", {"loc": 0.0, "scale": 2.0}, stats.laplace(0, 2)),
        ("LogNormal", {"loc": 0.2, "scale": 0.4}, stats.lognorm(0.4, scale=np.exp(0.2))),
        ("Gamma", {"concentration": 3.0, "rate": 2.0}, stats.gamma(3, scale=0.5)),
        ("Exponential", {"rate": 4.0}, stats.expon(scale=0.25)),
        ("Beta", {"concentration1": 2.0, "concentration0": 3.0}, stats.beta(2, 3)),
        ("Uniform", {"low": -1.0, "high": 3.0}, stats.uniform(-1, 4)),
        ("Poisson", {"rate": 3.5}, stats.poisson(3.5)),
        ("NegativeBinomial", {"mean": 4.0, "concentration": 2.0}, stats.nbinom(2, 2 / 6)),
        ("Bernoulli", {"probs": 0.3}, stats.bernoulli(0.3)),
        ("Bernoulli", {"logits": -1.0}, stats.bernoulli(1 / (1 + np.e))),
        ("Binomial", {"total_count": 9, "probs": 0.4}, stats.binom(9, 0.4)),
        ("VonMises", {"loc": 0.5, "concentration": 3.0}, stats.vonmises(3, loc=0.5)),
    ],
)
def test_draws_follow_their_law(name: str, args: dict[str, float], law: stats.rv_continuous) -> None:
    n = 20_000
    dist = Dist(name, {k: expr.const(v) for k, v in args.items()}, (n,), 0)
    found = draw_law(dist, {k: np.asarray(v) for k, v in args.items()}, np.random.default_rng(3))
    assert found.shape == (n,) and np.isfinite(found).all()
    assert found.mean() == pytest.approx(law.mean(), abs=5 * law.std() / np.sqrt(n))
    assert found.std() == pytest.approx(law.std(), rel=0.06)


def test_arguments_outside_give_no_number() -> None:
    random = np.random.default_rng(0)
    of = lambda name, **args: draw_law(Dist(name, {}, (), 0), {k: np.asarray(v) for k, v in args.items()}, random)
    assert np.isnan(of("Normal", loc=0.0, scale=-1.0)) and np.isnan(of("Poisson", rate=-2.0))
    assert np.isnan(of("Bernoulli", probs=1.2)) and np.isnan(of("Gamma", concentration=1.0, rate=0.0))
    with pytest.raises(NotDrawn):
        of("Multinomial", total_count=3, probs=[0.5, 0.5])


@pytest.mark.parametrize(
    ("text", "params"),
    [
        (SANE["autoregression"], {"phi": 0.7, "s": 1.2}),
        (
            "param a ~ Normal(0, 1)\nnoise e ~ Normal(0, 1)\nstate x\nobs y\ninit x ~ Normal(2, 0.5)\n"
            "x[t] = a * x[t-1] + e[t] + 0.5 * e[t-1]\ny[t] ~ Normal(x[t] + x[t-1], 0.5)\ninit x[-1] = 1\n",
            {"a": 0.6},
        ),
        (SANE["counts"], {"phi": 0.5}),
    ],
)
def test_paths_are_those_of_simulate(text: str, params: dict[str, float]) -> None:
    """Mean and sd of each row agree with draws of the compiled model, within sampling error."""
    model = ssmlang.compile(text)
    rows, n = 6, 600
    random = np.random.default_rng(9)
    point = {k: np.asarray(v, float) for k, v in params.items()}
    own = np.stack([paths(model.spec, point, rows, random, {})["y"] for _ in range(n)])
    other = np.asarray(model.simulate(rows, params, draws=n, seed=4)["y"])
    error = np.sqrt(own.var(0) / n + other.var(0) / n)
    assert (np.abs(own.mean(0) - other.mean(0)) < 4.5 * error).all()
    np.testing.assert_allclose(own.std(0), other.std(0), rtol=0.18)


def test_paths_in_continuous_time_have_the_law_of_the_equation() -> None:
    """Ornstein and Uhlenbeck: mean mu, variance q^2 / (2 rate), correlation exp(-rate dt) from row to row."""
    text = (
        "const dt = 0.25\nparam mu ~ Normal(0, 1)\nparam rate, q ~ HalfNormal(1)\nstate x\nobs y\n"
        "init x ~ Stationary()\n"
        "d(x) = rate * (mu - x) * dt + q * dW\ny[t] = x[t]\n"
    )
    values = {"mu": np.asarray(1.0), "rate": np.asarray(0.8), "q": np.asarray(0.5)}
    y = paths(context_of(text).model, values, 3_000, np.random.default_rng(0), {})["y"]
    assert y.mean() == pytest.approx(1, abs=0.1)
    assert y.var() == pytest.approx(0.25 / 1.6, rel=0.2)
    assert np.corrcoef(y[:-1], y[1:])[0, 1] == pytest.approx(np.exp(-0.2), abs=0.04)


def test_what_grows_in_continuous_time_is_said() -> None:
    text = (
        "const dt = 1\nparam q ~ HalfNormal(1)\nstate x\nobs y\ninit x ~ Normal(1, 0.1)\n"
        "d(x) = RATE * x * dt + q * dW\n"
        "y[t] ~ Normal(x[t], 1)\n"
    )
    codes = lambda rate: {f.code for f in check(context_of(text.replace("RATE", rate)))}
    assert "W630" in codes("0.5") and "W630" not in codes("-0.5")


def test_a_stiff_drift_and_a_count_of_nothing_are_no_explosion() -> None:
    """Twenty times a row the drift forgets its state, which four steps of Runge and Kutta's rule do not stand; what it
    counts comes to nothing at last, and a mean of zero is a mean."""
    text = (
        "const dt = 1\nparam rate ~ LogNormal(3, 0.1)\nstate x, total\nobs y\ninit x ~ Normal(5, 0.1)\n"
        "init total = 0\nd(x) = -rate * x^2 / (1 + abs(x)) * dt\nd(total) = x * dt\n"
        "y[t] ~ Poisson(total[t] - total[t-1])\n"
    )
    for program in (text, text.replace("x^2 / (1 + abs(x))", "x")):
        assert "W630" not in {f.code for f in check(context_of(program))}


def test_ends_that_are_near_each_other_are_told_apart() -> None:
    assert digits_apart(-8.77, 11.6) == 3 and digits_apart(5.0, 5.0) == 3
    low, high = 100_021.4, 100_066.2
    digits = digits_apart(low, high)
    assert (f"{low:.{digits}g}", f"{high:.{digits}g}") == ("100021", "100066")


@pytest.mark.parametrize("law, start, said, mend", [
    ("Poisson(x[t])", 10, "the rate of y must be positive; in ", "keep the rate of y positive, as by exp(...)"),
    ("Bernoulli(x[t])", 0.5, "the probability of y must be between 0 and 1; in ", "as by sigmoid(...)"),
])  # fmt: skip
def test_a_rate_that_wanders_below_zero_is_no_explosion(law: str, start: float, said: str, mend: str) -> None:
    text = (
        f"param s ~ HalfNormal(1)\nstate x\nobs y\ninit x ~ Normal({start}, 0.1)\n"
        f"x[t] ~ Normal(x[t-1], s)\ny[t] ~ {law}\n"
    )
    (found,) = check(context_of(text))
    assert (found.verdict, found.code, found.span_of) == ("refuted", "W632", "y")
    assert found.reason.startswith(said) and found.fix is not None and mend in found.fix
    text = text.replace("(x[t])", "(exp(-x[t]^2))")
    assert all(f.code != "W632" for f in check(context_of(text)))
