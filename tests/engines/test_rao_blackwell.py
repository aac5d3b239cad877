"""The Rao-Blackwellised particle filter beside enumeration of all paths, kalman, and plain particles."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import ssmlang
from ssmlang.engines.particle import Particle
from ssmlang.engines.rao_blackwell import RaoBlackwell
from ssmlang.language.diagnostics import SsmError
from ssmlang.model.conditional import Parts, parts_of
from ssmlang.model.obstacles import Obstacle
from tests.engines.swarms import off, unbiased

JUMPS = """
axis regime = {calm, wild}
let slope[regime] = [0.9, 0.3]
let scale[regime] = [0.3, 1.5]
let P = [[0.9, 0.1], [0.3, 0.7]]
state s in regime
state x
obs y
let twice[t] = 2 * x[t]
init s ~ Categorical([0.7, 0.3])
init x ~ Normal(0, 1)
s[t] ~ Categorical(P[s[t-1]])
x[t] ~ Normal(slope[s[t]] * x[t-1], scale[s[t]])
y[t] ~ Normal(x[t], 0.5)
"""
STILL = JUMPS.replace("[[0.9, 0.1], [0.3, 0.7]]", "[[1, 0], [0, 1]]").replace("[0.7, 0.3]", "[1, 0]")
PLAIN = """
state x
obs y
init x ~ Normal(0, 1)
x[t] ~ Normal(0.9 * x[t-1], 0.3)
y[t] ~ Normal(x[t], 0.5)
"""
SCALED = """
noise push ~ Normal(0, 1)
state h, pos, vel
obs fix, count
init h ~ Normal(0, 0.5)
init pos, vel ~ Normal(0, 1)
h[t] ~ Normal(0.8 * h[t-1] + 0.1 * sin(h[t-1]), 0.4)
pos[t] = pos[t-1] + vel[t-1] + 0.5 * exp(h[t] / 2) * push[t]
vel[t] = vel[t-1] + exp(h[t] / 2) * push[t]
fix[t] ~ Normal(pos[t], 0.5)
count[t] ~ Poisson(exp(h[t]))
"""
Y = np.array([0.4, -0.1, np.nan, 2.3, 1.8, 0.4, 0.1])


def enumerated(y: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """log p(y) of JUMPS, filtered and smoothed means and smoothed variances of x, over every path of the regimes."""
    slope, scale, P = np.array([0.9, 0.3]), np.array([0.3, 1.5]), np.array([[0.9, 0.1], [0.3, 0.7]])
    T = len(y)

    def law(path: tuple[int, ...], rows: int) -> tuple[float, np.ndarray, np.ndarray]:
        """log p(path, y_0..y_{rows-1}), mean and covariance of x given them, by the joint Gaussian law."""
        A, Q = np.eye(T), np.zeros(T)
        Q[0] = 1.0
        L = np.eye(T)
        for t in range(1, T):
            A[t, t - 1], Q[t] = -slope[path[t]], scale[path[t]] ** 2
        L = np.linalg.inv(A)
        cov = L @ np.diag(Q) @ L.T
        at = [t for t in range(rows) if not np.isnan(y[t])]
        S = cov[np.ix_(at, at)] + 0.25 * np.eye(len(at))
        K = np.linalg.solve(S, cov[at]).T
        prior = np.log([0.7, 0.3][path[0]]) + sum(np.log(P[a, b]) for a, b in itertools.pairwise(path))
        log = -0.5 * (y[at] @ np.linalg.solve(S, y[at]) + np.linalg.slogdet(2 * np.pi * S)[1])
        return prior + log, K @ y[at], cov - K @ cov[at]

    def mixed(rows: int) -> tuple[float, np.ndarray, np.ndarray]:
        found = [law(path, rows) for path in itertools.product(range(2), repeat=T)]
        logs = np.array([f[0] for f in found])
        w = np.exp(logs - logs.max())
        w /= w.sum()
        mean = sum(wi * f[1] for wi, f in zip(w, found))
        square = sum(wi * (np.diag(f[2]) + f[1] ** 2) for wi, f in zip(w, found))
        return float(logs.max() + np.log(np.exp(logs - logs.max()).sum())), mean, square - mean**2

    total, smooth, variance = mixed(T)
    return total, np.array([mixed(t + 1)[1][t] for t in range(T)]), smooth, variance


def runs(text: str, engine: object, verb: str, data: dict[str, np.ndarray], seeds: int) -> list[Any]:
    model = ssmlang.compile(text)
    return [getattr(model, verb)(data, {}, engine=engine, seed=s) for s in range(seeds)]


def test_parts() -> None:
    parts = parts_of(ssmlang.compile(JUMPS).spec)
    assert isinstance(parts, Parts) and parts.linear == ("x",) and parts.sampled == ("s",)
    parts = parts_of(ssmlang.compile(SCALED).spec)
    assert isinstance(parts, Parts) and parts.linear == ("pos", "vel") and parts.sampled == ("h",)
    assert [e.targets[0].name for e in parts.emissions] == ["fix"]
    # What a sampled state or a law that is not Gaussian reads is sampled too.
    fed = JUMPS.replace("Categorical(P[s[t-1]])", "Categorical(if x[t-1] > 0 then P[0] else P[s[t-1]])")
    assert isinstance(parts_of(ssmlang.compile(fed).spec), Obstacle)
    heavy = JUMPS.replace("y[t] ~ Normal(x[t], 0.5)", "y[t] ~ StudentT(4, x[t], 0.5)")
    assert isinstance(parts_of(ssmlang.compile(heavy).spec), Obstacle)
    assert isinstance(parts_of(ssmlang.compile(PLAIN).spec), Obstacle)


def test_along_a_known_path_it_is_kalman() -> None:
    exact, engine = ssmlang.compile(PLAIN), RaoBlackwell(particles=4, trajectories=3)
    data = {"y": Y}
    (found,) = runs(STILL, engine, "filter", data, 1)
    truth = exact.filter(data, {}, engine="kalman")
    for name in ("mean", "predicted_mean"):
        np.testing.assert_allclose(found[name].sel(state="x"), truth[name].sel(state="x"), atol=1e-9)
        of_x = lambda d, name=name: d[name.replace("mean", "cov")].sel(state="x", state_="x")
        np.testing.assert_allclose(of_x(found), of_x(truth), atol=1e-9)
    for name in ("observed_mean", "observed_cov", "log_likelihood"):
        np.testing.assert_allclose(found[name], truth[name], atol=1e-9)
    (back,) = runs(STILL, engine, "smooth", data, 1)
    truth = exact.smooth(data, {}, engine="kalman")
    np.testing.assert_allclose(back["mean"].sel(state="x"), truth["mean"].sel(state="x"), atol=1e-9)
    variance = lambda d: d["cov"].sel(state="x", state_="x")
    np.testing.assert_allclose(variance(back), variance(truth), atol=1e-9)
    np.testing.assert_allclose(back["twice"], 2 * truth["mean"].sel(state="x"), atol=1e-9)


def test_beside_every_path() -> None:
    total, filtered, smoothed, variance = enumerated(Y)
    engine = RaoBlackwell(particles=60, trajectories=60)
    logs = np.array([float(v) for v in runs(JUMPS, engine, "log_likelihood", {"y": Y}, 200)])
    assert unbiased(logs, total) < 3
    plain = np.array([float(v) for v in runs(JUMPS, Particle(60), "log_likelihood", {"y": Y}, 100)])
    assert logs.var() < plain.var() / 2
    found = np.stack([f["mean"].sel(state="x").values for f in runs(JUMPS, engine, "filter", {"y": Y}, 60)])
    assert off(found, filtered) < 4.5
    back = runs(JUMPS, engine, "smooth", {"y": Y}, 60)
    assert off(np.stack([b["mean"].sel(state="x").values for b in back]), smoothed) < 4.5
    spread = np.mean([b["cov"].sel(state="x", state_="x").values for b in back], axis=0)
    np.testing.assert_allclose(spread, variance, rtol=0.15)
    paths = np.concatenate([b["paths"].sel(state="x").values for b in back])
    np.testing.assert_allclose(paths.var(0), variance, rtol=0.15)
    np.testing.assert_allclose(paths.mean(0), smoothed, atol=0.1)


def test_nonlinear_scale_and_singular_noise_beside_many_particles() -> None:
    data = {"fix": np.array([0.2, 0.9, np.nan, 4.0, 7.1]), "count": np.array([1.0, 2, 0, np.nan, 3])}
    few = np.array([float(v) for v in runs(SCALED, RaoBlackwell(particles=100), "log_likelihood", data, 60)])
    many = np.array([float(v) for v in runs(SCALED, Particle(20_000, "bootstrap"), "log_likelihood", data, 12)])
    mean = lambda v: np.exp(v - many.mean())
    error = np.hypot(mean(few).std() / np.sqrt(len(few)), mean(many).std() / np.sqrt(len(many)))
    assert abs(mean(few).mean() - mean(many).mean()) < 3.5 * error
    back = ssmlang.compile(SCALED).smooth(data, {}, engine=RaoBlackwell(particles=200))
    assert np.isfinite(back["mean"]).all() and (np.diagonal(back["cov"], axis1=1, axis2=2) >= -1e-9).all()
    # pos and vel share one noise: what holds exactly among them holds in each path.
    paths = back["paths"]
    pos, vel = paths.sel(state="pos").values, paths.sel(state="vel").values
    np.testing.assert_allclose(np.diff(pos), 0.5 * (vel[:, 1:] + vel[:, :-1]), atol=1e-6)


def test_forecast_and_refusals() -> None:
    model = ssmlang.compile(JUMPS)
    ahead = model.forecast({"y": Y}, {}, 4, engine=RaoBlackwell(particles=50), seed=1)
    assert (ahead["observed_cov"].values.ravel() > 0.25).all()
    with pytest.raises(SsmError) as raised:
        ssmlang.compile(PLAIN).log_likelihood({"y": Y}, {}, engine="rao_blackwell")
    assert {d.code for d in raised.value.diagnostics} == {"E306"}
    for wrong in ({"particles": 1}, {"resampling": "no"}, {"threshold": -1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            RaoBlackwell(**wrong)  # type: ignore[arg-type]
