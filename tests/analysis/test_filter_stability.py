"""The filter's stability: textbook pairs, scalar Riccati equations in closed form, and the recursion run out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import ssmlang
from ssmlang.analysis import filter_stability
from ssmlang.analysis.filter_stability import SETTLED, settle
from ssmlang.analysis.filter_stability_riccati import (
    Plant,
    advance,
    closed_loop,
    gain,
    riccati,
    undriven,
    unseen,
)
from ssmlang.analysis.filter_stability_start import DIFFUSE, start_covariance
from ssmlang.analysis.filter_stability_zeros import silent
from ssmlang.analysis.numeric import numeric_system
from ssmlang.analysis.stability_points import prior_median
from tests.analysis.programs import context_of
from tests.analysis.stability_models import part, two, vector

EYE = np.eye(2)


def plant(F, H, L, R=1.0) -> Plant:
    """A plant whose observations have noise of their own, of variance R each."""
    F, H, L = (np.atleast_2d(np.asarray(a, float)) for a in (F, H, L))
    n, m, r = len(F), len(H), L.shape[1]
    return Plant(F, H, np.hstack([L, np.zeros((n, m))]), np.hstack([np.zeros((m, r)), np.sqrt(R) * np.eye(m)]))


# --------------------------------------------------------------------------------------------- pairs


PAIRS = {
    # name: F, H, L, eigenvalues not seen, eigenvalues not driven
    "seen and driven": ([[1.0]], [[1.0]], [[1.0]], [], []),
    "not seen": ([[1.0]], [[0.0]], [[1.0]], [1], []),
    "not seen, but it dies out": ([[0.5]], [[0.0]], [[1.0]], [], []),
    "never pushed": ([[1.0]], [[1.0]], [[0.0]], [], [1]),
    "never pushed, but it dies out": ([[0.5]], [[1.0]], [[0.0]], [], []),
    "never pushed, and explodes": ([[1.1]], [[1.0]], [[0.0]], [], [1.1]),
    "two walks seen through their sum": (EYE, [[1, 1]], EYE, [1], []),
    "two walks pushed by one noise": (EYE, EYE, [[1], [1]], [], [1]),
    "two walks of their own": (EYE, EYE, EYE, [], []),
    "trend seen through its level": ([[1, 1], [0, 1]], [[1, 0]], EYE, [], []),
    "trend seen through its slope": ([[1, 1], [0, 1]], [[0, 1]], EYE, [1], []),
    "trend pushed through its slope": ([[1, 1], [0, 1]], [[1, 0]], [[0], [1]], [], []),
    "trend pushed through its level": ([[1, 1], [0, 1]], [[1, 0]], [[1], [0]], [], [1]),
    "undamped turn": ([[0, 1], [-1, 0]], [[1, 0]], EYE, [], []),
    "undamped turn, not pushed": ([[0, 1], [-1, 0]], [[1, 0]], np.zeros((2, 1)), [], [1j]),
    "undamped turn, not seen": ([[0, 1], [-1, 0]], [[0, 0]], EYE, [1j], []),
    "explosive and stable, explosive not seen": (np.diag([1.2, 0.5]), [[0, 1]], EYE, [1.2], []),
    "explosive and stable, stable not seen": (np.diag([1.2, 0.5]), [[1, 0]], EYE, [], []),
    "Jordan block of three seen at its head": (np.eye(3) + np.eye(3, k=1), [[1, 0, 0]], np.eye(3), [], []),
    "alternating walk not seen": (np.diag([-1.0, 1.0]), [[0, 1]], EYE, [-1], []),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_textbook_pairs(name: str) -> None:
    F, H, L, hidden, idle = PAIRS[name]
    own = plant(F, H, L)
    for found, wanted in ((unseen(own), hidden), (undriven(own), idle)):
        assert np.allclose(sorted((complex(m.value) for m in found), key=abs), wanted, atol=1e-6), found
    for mode in unseen(own):
        assert np.allclose(own.F @ mode.vector, mode.value * mode.vector, atol=1e-6)
        assert np.allclose(own.H @ mode.vector, 0, atol=1e-6)
    for mode in undriven(own):
        assert np.allclose(mode.vector @ own.F, mode.value * mode.vector, atol=1e-6)
        assert np.allclose(mode.vector @ own.L, 0, atol=1e-6)


def test_a_noise_that_the_observation_shares_is_known_once_it_is_seen() -> None:
    """Exponential smoothing: level and observation have one noise; the level is driven by what is seen."""
    alpha = 0.3
    own = Plant(np.eye(1), np.eye(1), np.array([[alpha]]), np.array([[1 - alpha]]))
    assert not undriven(own)
    found = settle(own, np.eye(1))
    assert found is not None and found.radius == pytest.approx(1 - alpha, abs=1e-6)


# --------------------------------------------------------------------------------------------- the equation


@pytest.mark.parametrize("f", [1.0, 0.5, 1.3, -0.9])
@pytest.mark.parametrize("q", [0.01, 1.0, 30.0])
def test_scalar_equation_in_closed_form(f: float, q: float) -> None:
    """P = f^2 P R / (P + R) + q is quadratic in P."""
    R = 2.0
    b = R * (1 - f * f) - q
    P = (-b + np.sqrt(b * b + 4 * q * R)) / 2
    own = plant([[f]], [[1.0]], [[np.sqrt(q)]], R)
    found = riccati(own)
    assert found is not None
    assert found[0, 0] == pytest.approx(P, rel=1e-9)
    settled = settle(own, np.array([[100.0]]))
    assert settled is not None
    assert settled.radius == pytest.approx(abs(f) * R / (P + R), rel=1e-8)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.booleans(), st.booleans())
def test_the_recursion_goes_to_the_solution(seed: int, exact: bool, shared: bool) -> None:
    """With and without observation noise, with noise that states and observations share."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 5))
    m = int(rng.integers(1, 3))
    r = m + int(rng.integers(0, 4))
    F = rng.normal(size=(n, n))
    F *= rng.uniform(0.5, 1.2) / np.abs(np.linalg.eigvals(F)).max()
    H, L, M = rng.normal(size=(m, n)), rng.normal(size=(n, r)), rng.normal(size=(m, r))
    if not shared:
        L, M = np.hstack([L, np.zeros((n, r))]), np.hstack([np.zeros((m, r)), M])
    own = Plant(F, H, L, M * (not exact))
    P = 10 * np.eye(n)
    for _ in range(400):
        P, _K = advance(own, P)
    assume(np.isfinite(P).all())
    A = closed_loop(own, gain(own, P)[0])
    rho = np.abs(np.linalg.eigvals(A)).max()
    assume(rho < 0.93)
    found = riccati(own, P)
    assert found is not None
    assert np.allclose(found, P, rtol=1e-6, atol=1e-8 * np.abs(P).max())
    settled = settle(own, 10 * np.eye(n))
    assert settled is not None
    assert settled.radius == pytest.approx(rho, abs=1e-6)
    assert settled.steps is not None
    limit, _ = gain(own, found)
    # Where rounding moves the gain by as much as it is looked at, no row is the one at which it settles.
    assume(np.abs(gain(own, P)[0] - limit).max() < 0.1 * SETTLED * np.abs(limit).max())
    P = 10 * np.eye(n)
    for step in range(1, settled.steps + 30):
        P, K = advance(own, P)
        away = np.abs(K - limit).max() > 1.001 * SETTLED * np.abs(limit).max()
        assert not (away and step >= settled.steps)


def test_filter_error_of_a_simulation_has_the_settled_covariance() -> None:
    """The predicted error of a filter with the settled gain, over a long simulated series."""
    rng = np.random.default_rng(1)
    own = Plant(np.array([[1.0, 1.0], [0.0, 0.9]]), np.array([[1.0, 0.0]]), np.array([[0.5, 0, 0.2], [0, 0.3, 0.1]]),
                np.array([[0.0, 0.0, 1.0]]))  # fmt: skip
    P = riccati(own)
    assert P is not None
    K, _ = gain(own, P)
    z, guess, errors = np.zeros(2), np.zeros(2), []
    for _ in range(40_000):
        e = rng.standard_normal(3)
        z = own.F @ z + own.L @ e
        guess = own.F @ guess
        errors.append(z - guess)
        guess = guess + K @ (own.H @ (z - guess) + own.M @ e)
    assert np.allclose(np.cov(np.array(errors[200:]).T), P, rtol=0.12, atol=0.02)


# --------------------------------------------------------------------------------------------- programs


@dataclass(frozen=True)
class Case:
    text: str
    verdict: str
    says: tuple[str, ...] = ()


S = "param s, s2 ~ HalfNormal(1)\n"
ARMA = (
    f"{S}param phi in (-1, 1) ~ Normal(0.5, 0.1)\nparam theta in (0.4999, 0.5001) ~ Normal(0.5, 0.01)\n"
    "noise e ~ Normal(0, s)\nstate x\nobs y\ninit x ~ Stationary()\n"
    "x[t] = phi * x[t-1] + e[t] + theta * e[t-1]\ny[t] = x[t]\n"
)
PROGRAMS = {
    "local level": Case(
        part("local_level", "part l = local_level(s)\n", "l[t]"), "proved", ("shrinks by", "has settled", "kalman"),
    ),
    "trend and season": Case(
        part("local_linear_trend, seasonal", "part l = local_linear_trend(s, s2)\npart q = seasonal(4, s)\n",
        "l[t] + q[t]"),
        "proved", ("has settled",),
    ),
    "two levels, their sum": Case(
        two("a[t-1]", "b[t-1]"), "refuted", ("a - b is never seen", "unit root at frequency zero",
        "no detectable pair"),
    ),
    "a level and a constant, their sum": Case(
        f"{S}state a, b\nobs y\ninit a, b ~ Normal(0, 1)\na[t] ~ Normal(a[t-1], s)\nb[t] = b[t-1]\n"
        "y[t] ~ Normal(a[t] + b[t], 1)\n",
        "refuted", ("a - b is never seen", "no detectable pair"),
    ),
    "two stable states, their sum": Case(two("0.5 * a[t-1]", "0.5 * b[t-1]"), "proved"),
    "a constant": Case(
        f"{S}state a, b\nobs y\ninit a, b ~ Normal(0, 1)\na[t] ~ Normal(0.5 * a[t-1], s)\nb[t] = b[t-1]\n"
        "y[t] ~ Normal(a[t] + b[t], 1)\n",
        "refuted", ("no noise drives b", "goes to zero like 1/t"),
    ),
    "an explosive mode that noise never drives": Case(
        f"{S}state a\nobs y\ninit a ~ Normal(0, 1)\na[t] = 1.1 * a[t-1]\ny[t] ~ Normal(a[t], s)\n",
        "proved", ("shrinks by 9.09% a row",),
    ),
    "an explosive mode that noise never drives, from a number": Case(
        f"{S}state a\nobs y\ninit a = 2\na[t] = 1.1 * a[t-1]\ny[t] ~ Normal(a[t], s)\n",
        "refuted", ("no noise drives a", "grows by 10% a row", "starts without error"),
    ),
    "an explosive mode that is driven": Case(
        f"{S}state a\nobs y\ninit a ~ Normal(0, 1)\na[t] ~ Normal(1.1 * a[t-1], s)\ny[t] ~ Normal(a[t], s2)\n",
        "proved",
    ),
    "an undamped turn, one axis seen": Case(
        vector("[x[t-1, 1], -x[t-1, 0]]"), "proved", ("shrinks by",),
    ),
    "a turn that nothing sees": Case(
        f"{S}state x[2], a\nobs y\ninit x, a ~ Normal(0, 1)\nx[t] ~ Normal([x[t-1, 1], -x[t-1, 0]], s)\n"
        "a[t] ~ Normal(0.5 * a[t-1] + 0 * x[t-1, 0], s)\ny[t] ~ Normal(a[t], 1)\n",
        "refuted", ("a turn of x[0], x[1] is never seen", "period 4"),
    ),
    "an autoregression seen exactly": Case(
        f"{S}param phi[2] in stationary ~ Normal(0, 0.5)\nstate x\nobs y\ninit x ~ Stationary()\n"
        "x[t] ~ Normal(phi[0] * x[t-1] + phi[1] * x[t-2], s)\ny[t] = x[t]\n",
        "proved", ("gone after a finite number of rows",),
    ),
    "a moving average seen exactly": Case(ARMA, "proved", ("shrinks by 50",)),
    "a moving average whose inverse turns": Case(
        f"{S}noise e ~ Normal(0, s)\nstate x\nobs y\ninit x ~ Stationary()\nx[t] = e[t] + e[t-1]\ny[t] = x[t]\n",
        "refuted",
        ("y has no power at the period of 2 rows", "no solution with all errors dying out"),
    ),
    "a difference of noises": Case(
        f"{S}noise e ~ Normal(0, s)\nstate x\nobs y\ninit x ~ Stationary()\nx[t] = e[t] - e[t-1]\ny[t] = x[t]\n",
        "refuted", ("y has no power at frequency zero",),
    ),
    "a moving average that hides a period of no whole rows": Case(
        f"{S}noise e ~ Normal(0, s)\nstate x\nobs y\ninit x ~ Stationary()\n"
        "x[t] = e[t] - 2 * cos(1) * e[t-1] + e[t-2]\ny[t] = x[t]\n",
        "refuted", ("y has no power at the period of 6.28 rows",),
    ),
    "two observations whose difference hides what both of them share": Case(
        f"{S}noise e, v ~ Normal(0, s)\nstate x, z\nobs y[2]\ninit x, z ~ Stationary()\nx[t] = e[t] - e[t-1]\n"
        "z[t] = 0.5 * z[t-1] + v[t]\ny[t, 0] = x[t] + z[t]\ny[t, 1] = z[t]\n",
        "refuted", ("a combination of y[0], y[1] has no power at frequency zero",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_frequencies_without_power_are_those_of_the_spectrum(seed: int) -> None:
    """A moving average with roots on the circle at known angles, and others off it, against |polynomial|^2."""
    random = np.random.default_rng(seed)
    angles = random.uniform([0.15, 1.6], [1.4, 3.0])[: seed % 3]
    roots = [np.exp(s * 1j * a) for a in angles for s in (1, -1)] + list(random.uniform(-0.8, 0.8, 2))
    weights = np.real(np.poly(roots))
    q = len(weights) - 1
    # y[t] = sum of w_k e[t-k]: the memory holds e[t], ..., e[t-q].
    p = Plant(np.eye(q + 1, k=-1), weights[None], np.eye(q + 1, 1), np.zeros((1, 1)))
    found = sorted(abs(float(np.angle(s.frequency))) for s in silent(p))
    assert np.allclose(found, sorted(angles), atol=1e-5) and len(found) == len(angles)
    noisy = Plant(p.F, p.H, np.hstack([p.L, np.zeros((len(p.F), 1))]), np.array([[0.0, 0.1]]))
    assert not silent(noisy)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str) -> None:
    case = PROGRAMS[name]
    (f,) = filter_stability.check(context_of(case.text))
    whole = "\n".join([f.reason, *f.details])
    assert f.verdict == case.verdict, whole
    for words in case.says:
        assert words in whole, whole


@pytest.mark.parametrize("text", [
    "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(cos(t) * x[t-1], 1)\ny[t] ~ Normal(x[t], 1)\n",
    "input u\nstate x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(0.5 * x[t-1], 1)\ny[t] ~ Normal(u[t] * x[t], 1)\n",
    "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(sin(x[t-1]), 1)\ny[t] ~ Normal(x[t], 1)\n",
])  # fmt: skip
def test_nothing_is_said_of_programs_that_change_with_the_row(text: str) -> None:
    assert filter_stability.check(context_of(text)) == []


def test_start_of_a_program() -> None:
    """Proper, diffuse and stationary first rows, and a noise that row 1 reads again."""
    text = (
        "noise e ~ Normal(0, 2)\nstate p, q, d\nobs y\ninit p ~ Normal(1, 3)\ninit q ~ Stationary()\n"
        "init d ~ Diffuse()\np[t] ~ Normal(p[t-1], 1)\nq[t] = 0.5 * q[t-1] + e[t] + e[t-1]\nd[t] ~ Normal(d[t-1], 1)\n"
        "y[t] ~ Normal(p[t] + q[t] + d[t], 1)\n"
    )
    context = context_of(text)
    form = context.linear
    assert form is not None
    system = numeric_system(form, prior_median(context))
    size = len(system.companion[0])
    cov = start_covariance(form, system, prior_median(context), np.ones(size))
    assert cov is not None
    assert cov[0, 0] == pytest.approx(9)
    assert cov[2, 2] == pytest.approx(DIFFUSE)
    # q = sum of 0.5^k (e[t-k] + e[t-k-1]): variance 4 (1 + 1.5^2 / (1 - 0.25)), covariance with e[t] 2.
    assert cov[1, 1] == pytest.approx(4 * (1 + 1.5**2 / 0.75))
    noises = [i for i in range(3, size) if cov[i, i] == pytest.approx(1)]
    assert any(abs(cov[1, i]) == pytest.approx(2) for i in noises)


@pytest.mark.parametrize(
    ("start", "verdict", "code"),
    [("~ Normal(0, 1)", "proved", None), ("~ Diffuse()", "proved", None), ("= 1", "refuted", "W614")],
)
def test_what_grows_without_noise_is_learned_unless_it_starts_exactly(start: str, verdict: str, code: str) -> None:
    """x[t] = 1.1 x[t-1] seen with noise: information I = I / 1.21 + 1 settles, and the closed loop is 1 / 1.1."""
    text = (
        f"param sd ~ HalfNormal(1)\nstate x\nobs y\ninit x {start}\nx[t] = 1.1 * x[t-1]\n"
        "y[t] ~ Normal(x[t], sd)\n"
    )
    (found,) = filter_stability.check(context_of(text))
    assert (found.verdict, found.code) == (verdict, code)
    if verdict == "proved":
        assert "rho(F - F K H) = 0.9091" in found.details[0]


@pytest.mark.parametrize("growth", [1.1, 1.2])
def test_what_grows_is_not_learned_where_starts_are_known_together(growth: float) -> None:
    """Each of two starts is uncertain, and their difference is not."""
    text = (
        "param s ~ HalfNormal(1)\nstate a, b\nobs y, z\ninit (a, b) ~ MvNormal([0, 0], [[1, r], [r, 1]])\n"
        "a[t] = 1.2 * a[t-1]\nb[t] = g * b[t-1]\ny[t] ~ Normal(a[t], s)\nz[t] ~ Normal(b[t], s)\n"
    )
    text = f"const g = {growth}\n{text}"
    told = {r: filter_stability.check(context_of(f"const r = {r}\n{text}"))[0].verdict for r in (1, 0.5)}
    assert told == {1: "refuted", 0.5: "proved"}


def test_a_weak_loading_beside_an_exact_observation_settles_late() -> None:
    """z is seen through 0.04 z alone, and another observation has no noise, so that scipy's equation is singular."""
    F = np.array([[0.5, 0, 0], [0, 0, 1], [0, 1, 0]], float)
    H = np.array([[1, 0, 0], [0.9, 0.04, 0]], float)
    L = np.array([[0.7, 0, 0], [0, 0.5, 0], [0, 0, 0]], float)
    M = np.array([[0, 0, 0], [0, 0, 1]], float)
    own = Plant(F, H, L, M)
    found = settle(own, np.eye(3), patient=True)
    assert found is not None and found.radius < 1
    P = np.eye(3)
    for _ in range(3_000):
        P, _ = filter_stability.advance(own, P)
    exact = np.abs(np.linalg.eigvals(filter_stability.closed_loop(own, filter_stability.gain(own, P)[0]))).max()
    assert found.radius == pytest.approx(exact, abs=1e-6)


def test_what_no_noise_drives_and_dies_out_has_a_gain_that_goes_to_zero() -> None:
    text = "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] = 0.9 * x[t-1]\ny[t] ~ Normal(x[t], 1)\n"
    (found,) = filter_stability.check(context_of(text))
    assert found.verdict == "proved" and "goes to zero as fast" in found.reason and "4,000" not in found.reason


def test_a_noise_whose_covariance_is_none_at_the_prior_median_is_left_alone() -> None:
    source = """
    model spread
    const n = 30
    param F[n, n]
    param Q[n, n]
    state x[n]
    obs   y[1]
    init x ~ Normal(0, 1)
    x[t] ~ MvNormal(F @ x[t-1], Q)
    y[t] ~ Normal(x[t][1], 1)
    """
    ssmlang.compile(source).check()
