"""The particle engine beside exact ones, a grid and itself."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ssmlang
from ssmlang.engines.counters import normals, uniforms, words
from ssmlang.engines.particle import Particle
from ssmlang.engines.resampling import SCHEMES, parents, running_sum
from ssmlang.language.diagnostics import SsmError
from tests.engines.swarms import LEVEL, SWITCHING, VOLATILITY, Swarm, off, unbiased

KEYS = 200
GAPPY = [0.3, -0.8, np.nan, 0.4, 1.9, 2.2, np.nan, np.nan, 0.1, -0.7]
SHARP = {"q": 1.0, "r": 0.1}
SOFT = {"q": 0.6, "r": 0.9}


@pytest.fixture(scope="module")
def level() -> Swarm:
    return Swarm(LEVEL, SOFT, {"y": GAPPY})


# ----------------------------------------------------------------------------------------------------- parts


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("count", [7, 16, 50])
def test_resampling_gives_each_particle_its_expected_children(scheme: str, count: int) -> None:
    rng = np.random.default_rng(count)
    weights = rng.exponential(size=count) ** 3
    weights[rng.random(count) < 0.2] = 0.0
    weights /= weights.sum()
    keys = jax.random.split(jax.random.key(1), 4000)
    found = np.asarray(jax.jit(jax.vmap(lambda k: parents(scheme, k, weights)))(keys))  # type: ignore[arg-type]
    assert (np.diff(found, axis=1) >= 0).all()
    children = np.stack([np.bincount(row, minlength=count) for row in found])
    assert (children[:, weights == 0] == 0).all()
    error = np.sqrt(np.maximum(children.var(0), 1e-3) / len(keys))
    assert (np.abs(children.mean(0) - count * weights) < 4.5 * error).all()
    if scheme == "systematic":
        assert (np.abs(children - count * weights) < 1 + 1e-9).all()


@pytest.mark.parametrize("count", [1, 15, 16, 17, 1000])
def test_running_sums(count: int) -> None:
    x = np.random.default_rng(0).exponential(size=(2, count))
    np.testing.assert_allclose(running_sum(x), np.cumsum(x, axis=-1), rtol=1e-12)  # type: ignore[arg-type]


def test_numbers_from_counters_are_normal_and_independent() -> None:
    from scipy import stats

    keys = words(jax.random.split(jax.random.key(3), 40))
    z = np.stack([np.asarray(normals(k, 2, 5000)).ravel() for k in keys])
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3
    assert abs(z.mean()) < 4 / np.sqrt(z.size) and abs((z**2).mean() - 1) < 4 * np.sqrt(2 / z.size)
    assert abs((z**4).mean() - 3) < 4 * np.sqrt(96 / z.size)
    between = np.corrcoef(z)[np.triu_indices(40, 1)] * np.sqrt(z.shape[1])
    assert stats.kstest(between, "norm").pvalue > 1e-3
    for lag in (1, 2, 7, 5000):
        pairs = z[:, lag:] * z[:, :-lag]
        assert abs(pairs.mean()) < 4 / np.sqrt(pairs.size)
    assert stats.kstest(np.asarray(uniforms(keys[0], 20000)), "uniform").pvalue > 1e-3


def test_normal_numbers_are_the_quantiles_of_their_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Far out too, and the same to rounding wherever they stand in an array."""
    from scipy.special import ndtri

    from ssmlang.engines import counters

    key = words(jax.random.key(5))
    drawn = lambda *shape: np.asarray(jax.jit(lambda k: normals(k, *shape))(key)).ravel()
    np.testing.assert_allclose(drawn(3, 1001), drawn(1001, 3), rtol=1e-14)
    ends = np.r_[0:40, 2**23 - 40 : 2**23 + 40, 2**24 - 40 : 2**24, np.arange(0, 2**24, 9973)].astype(np.uint32)
    monkeypatch.setattr(counters, "bits", lambda key, *shape: jnp.asarray(ends << 8))
    found = np.asarray(normals(key, len(ends)))
    wanted = ndtri((1 + ((ends << 8).astype(np.int32) >> 8).astype(float) * 2.0**-23 + 2.0**-24) / 2)
    np.testing.assert_allclose(found, wanted, rtol=2e-7)


# ------------------------------------------------------------------------------------------- linear and Gaussian


@pytest.mark.parametrize("proposal", ["bootstrap", "guided", "auxiliary"])
def test_likelihood_is_unbiased(level: Swarm, proposal: str) -> None:
    exact = float(level.exact("log_likelihood", "kalman"))
    logs = level.run(Particle(100, proposal=proposal), "log_likelihood", KEYS)  # type: ignore[arg-type]
    assert unbiased(logs, exact) < 3
    assert logs.std() > 0


@pytest.mark.parametrize("resampling", ["stratified", "residual", "multinomial"])
def test_likelihood_is_unbiased_by_each_scheme(level: Swarm, resampling: str) -> None:
    exact = float(level.exact("log_likelihood", "kalman"))
    engine = Particle(100, "bootstrap", resampling=resampling, threshold=0.9)  # type: ignore[arg-type]
    assert unbiased(level.run(engine, "log_likelihood", KEYS), exact) < 3


def test_a_guided_filter_sees_sharp_observations_coming() -> None:
    sharp = Swarm(LEVEL, SHARP, {"y": GAPPY})
    blind, guided, auxiliary = (sharp.run(Particle(100, p), "log_likelihood", 60)  # type: ignore[arg-type]
                                for p in ("bootstrap", "guided", "auxiliary"))  # fmt: skip
    assert guided.var() < blind.var() / 4
    assert auxiliary.var() < blind.var() / 4


@pytest.mark.parametrize("proposal", ["bootstrap", "guided"])
def test_moments_are_those_of_kalman(level: Swarm, proposal: str) -> None:
    engine = Particle(400, proposal=proposal)  # type: ignore[arg-type]
    found, exact = level.run(engine, "filter", 40), level.exact("filter", "kalman")
    for name in ("mean", "predicted_mean", "observed_mean"):
        assert off(found[name], exact[name].values) < 4.5
    for name in ("cov", "predicted_cov", "observed_cov"):
        np.testing.assert_allclose(found[name].mean(0), exact[name].values, rtol=0.08)
    assert (found["ess"] <= 400 * (1 + 1e-9)).all() and (found["ess"] >= 1).all()
    assert off(found["definition_mean"][:, 1:, 0], exact["step"].values[1:]) < 4.5


def test_smoothing_is_that_of_kalman(level: Swarm) -> None:
    assert level.facts.density and level.facts.n < level.facts.N
    found, exact = level.run(Particle(300, trajectories=300), "smooth", 40), level.exact("smooth", "kalman")
    assert off(found["mean"], exact["mean"].values) < 4.5
    np.testing.assert_allclose(found["cov"].mean(0), exact["cov"].values, rtol=0.08)
    assert off(found["definition_mean"][:, 1:, 0], exact["step"].values[1:]) < 4.5
    np.testing.assert_allclose(found["definition_sd"].mean(0)[1:, 0], exact["step_sd"].values[1:], rtol=0.08)
    paths = found["paths"][..., 0].reshape(-1, len(GAPPY))
    np.testing.assert_allclose(paths.mean(0), exact["mean"].values[:, 0], atol=0.05)
    np.testing.assert_allclose(np.diff(paths).std(0), exact["step_sd"].values[1:], rtol=0.08)


SECOND_ORDER = """
state x
obs y
init x ~ Normal(0, 1)
x[t] ~ Normal(1.2 * x[t-1] - 0.5 * x[t-2], 0.7)
y[t] ~ Normal(x[t], 0.6)
"""
PUSHED = """
noise push ~ Normal(0, 1)
state pos, vel
obs fix
init pos ~ Normal(0, 2)
init vel ~ Normal(0, 1)
pos[t] = pos[t-1] + vel[t-1] + 0.5 * push[t]
vel[t] = vel[t-1] + push[t]
fix[t] ~ Normal(pos[t], 0.5)
"""


@pytest.mark.parametrize(("text", "name"), [(SECOND_ORDER, "y"), (PUSHED, "fix")])
def test_longer_memories_and_singular_noise(text: str, name: str) -> None:
    swarm = Swarm(text, {}, {name: GAPPY})
    assert not swarm.facts.density
    exact = float(swarm.exact("log_likelihood", "kalman"))
    assert unbiased(swarm.run(Particle(100), "log_likelihood", KEYS), exact) < 3
    # Lines of descent have more spread than independent draws; their mean is right all the same.
    found, truth = swarm.run(Particle(500), "smooth", 40), swarm.exact("smooth", "kalman")
    assert off(found["mean"], truth["mean"].values) < 4.5
    np.testing.assert_allclose(found["cov"].mean(0), truth["cov"].values, rtol=0.15, atol=0.03)


# ------------------------------------------------------------------------------------------- anything else


def grid(y: np.ndarray, nodes: int = 800) -> tuple[float, np.ndarray, np.ndarray]:
    """The log-likelihood of VOLATILITY, filtered and smoothed means, by the trapezoidal rule."""
    h = np.linspace(-6, 4, nodes)
    step = h[1] - h[0]
    normal = lambda x, m, s: np.exp(-0.5 * ((x - m) / s) ** 2) / (s * np.sqrt(2 * np.pi))
    move = normal(h[:, None], -1 + 0.9 * (h[None, :] + 1), 0.4) * step
    ahead, total, laws, likes = normal(h, -1, 0.6), 0.0, [], []
    for t, value in enumerate(y):
        ahead = ahead if t == 0 else move @ laws[-1]
        like = np.ones(nodes) if np.isnan(value) else normal(value, 0, np.exp(h / 2))
        mass = (ahead * like).sum() * step
        total += np.log(mass)
        laws.append(ahead * like / mass)
        likes.append(like)
    back, smooth = np.ones(nodes), []
    for t in reversed(range(len(y))):
        law = laws[t] * back
        smooth.append((h * law).sum() / law.sum())
        back = move.T @ (likes[t] * back)
    return total, np.array([(h * law).sum() * step for law in laws]), np.array(smooth[::-1])


@pytest.mark.parametrize("proposal", ["bootstrap", "guided", "auxiliary"])
def test_stochastic_volatility_beside_a_grid(proposal: str) -> None:
    y = np.array([0.1, -1.5, 2.4, np.nan, 0.02, -0.9, 0.3, 1.1])
    total, filtered, smoothed = grid(y)
    swarm = Swarm(VOLATILITY, {}, {"r": y})
    engine = Particle(100, proposal=proposal)  # type: ignore[arg-type]
    assert unbiased(swarm.run(engine, "log_likelihood", KEYS), total) < 3
    if proposal == "bootstrap":
        assert off(swarm.run(Particle(1000), "filter", 40)["mean"][..., 0], filtered) < 4.5
        assert off(swarm.run(Particle(500), "smooth", 40)["mean"][..., 0], smoothed) < 4.5


def test_discrete_states_beside_their_exact_engine() -> None:
    swarm = Swarm(SWITCHING, {}, {"y": [1.2, 0.7, -0.4, -1.6, np.nan, -0.9, 0.8]})
    assert swarm.facts.discrete
    exact = float(swarm.exact("log_likelihood", "discrete"))
    assert unbiased(swarm.run(Particle(100), "log_likelihood", KEYS), exact) < 3
    truth = swarm.exact("smooth", "discrete")["s_probability"].values[..., -1].reshape(-1)
    assert off(swarm.run(Particle(300), "smooth", 40)["mean"][..., 0], truth) < 4.5


# --------------------------------------------------------------------------------------------------- the verbs


def test_seeds_reach_the_engine() -> None:
    model, data = ssmlang.compile(VOLATILITY), {"r": [0.1, -1.5, 2.4, 0.5]}
    engine = Particle(64)
    first, again, other = (float(model.log_likelihood(data, {}, engine, seed=s)) for s in (1, 1, 2))
    assert first == again != other
    filtered = model.filter([data, data], {}, engine, seed=1)
    np.testing.assert_allclose(float(filtered[0].log_likelihood.sum()), first, rtol=1e-12)
    assert not np.allclose(filtered[0]["mean"], filtered[1]["mean"])
    both = float(model.log_likelihood([data, data], {}, engine, seed=1))
    np.testing.assert_allclose(both, sum(float(f.log_likelihood.sum()) for f in filtered), rtol=1e-12)
    drawn = [model.smooth(data, {}, engine, paths=p, seed=s).paths for p, s in ((5, 1), (5, 1), (5, 2), (300, 1))]
    assert drawn[0].sizes == {"path": 5, "time": 4, "state": 1} and drawn[3].sizes["path"] == 300
    assert drawn[0].equals(drawn[1]) and not drawn[0].equals(drawn[2])
    last = model.smooth(data, {}, engine, keep="last", seed=1)
    assert last.paths.sizes == {"path": 200, "time": 1, "state": 1}
    ahead = [model.forecast(data, {}, 3, engine, seed=s)["mean"].values for s in (1, 1, 2)]
    assert (ahead[0] == ahead[1]).all() and (ahead[0] != ahead[2]).any()


def test_parameters_trace_through() -> None:
    model = ssmlang.compile(VOLATILITY.replace("state h", "param mu ~ Normal(-1, 1)\nstate h").replace("Normal(-1 +",
                            "Normal(mu +"))  # fmt: skip
    value = lambda mu: model.log_likelihood({"r": [0.1, -1.5]}, {"mu": mu}, Particle(64))
    found = jax.jit(jax.vmap(value))(np.array([-1.0, -0.5]))
    np.testing.assert_allclose(found, [float(value(-1.0)), float(value(-0.5))], rtol=1e-5)


BOUNDED = """
state x
obs y
init x ~ Normal(0, 1)
x[t] ~ Normal(0.5 * x[t-1], 1)
y[t] ~ Uniform(x[t] - 1, x[t] + 1)
"""


def test_a_swarm_that_dies_says_where() -> None:
    model, data = ssmlang.compile(BOUNDED), {"y": [0.1, 0.3, 100.0, 0.2]}
    engine = Particle(64)
    for verb in (model.filter, model.smooth, model.log_likelihood):
        with pytest.raises(SsmError) as raised:
            verb(data, {}, engine)  # type: ignore[operator]
        assert [d.code for d in raised.value.diagnostics] == ["E723"]
        assert "row 2" in str(raised.value)
    assert np.isfinite(float(model.log_likelihood({"y": [0.1, 0.3]}, {}, engine)))


def test_options_that_mean_nothing_are_refused() -> None:
    for wrong in ({"particles": 1}, {"proposal": "best"}, {"resampling": "none"}, {"threshold": 2.0},
                  {"trajectories": 0}):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Particle(**wrong)  # type: ignore[arg-type]
    model = ssmlang.compile(SWITCHING)
    for proposal in ("guided", "auxiliary"):
        with pytest.raises(SsmError) as raised:
            model.log_likelihood({"y": [1.0]}, {}, Particle(64, proposal))
        assert [d.code for d in raised.value.diagnostics] == ["E306"]
    assert dataclasses.replace(Particle(64), trajectories=7).trajectories == 7


CURVED = """
state x
obs y
init x ~ Normal(0, 1)
x[t] ~ Normal(0.95 * x[t-1], 0.3)
y[t] ~ Normal(exp(x[t]), 0.02)
"""


@pytest.mark.parametrize("proposal", ["auto", "guided"])
def test_sharp_observations_that_bend(proposal: str) -> None:
    """A proposal linearised before the observation is seen overshoots: it was off by hundreds. Unbiased beside a sum
    over a grid, with a spread that a bootstrap filter of as many particles does not have."""
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal(), []
    for _ in range(12):
        y.append(np.exp(x) + 0.02 * rng.standard_normal())
        x = 0.95 * x + 0.3 * rng.standard_normal()
    nodes = np.linspace(-6, 4, 20_001)
    step = nodes[1] - nodes[0]
    normal = lambda z, sd: np.exp(-0.5 * (z / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
    law, total = normal(nodes, 1.0), 0.0
    for t, seen in enumerate(y):
        if t:
            moved = np.interp(nodes, 0.95 * nodes, law / 0.95, left=0.0, right=0.0)
            law = np.convolve(moved, normal(step * np.arange(-4000, 4001), 0.3) * step, "same")
        law = law * normal(seen - np.exp(nodes), 0.02)
        mass = law.sum() * step
        total, law = total + np.log(mass), law / mass
    model = ssmlang.compile(CURVED)
    draw = lambda kind, seed: float(model.log_likelihood({"y": y}, {}, engine=Particle(300, kind), seed=seed))
    found = np.array([draw(proposal, seed) for seed in range(20)])
    with pytest.warns(ssmlang.SsmWarning, match="W724"):
        plain = np.array([draw("bootstrap", seed) for seed in range(20)])
    assert abs(np.log(np.mean(np.exp(found - total)))) < 4 * found.std() / np.sqrt(len(found)) + 0.02
    assert found.std() < {"auto": 0.75, "guided": 0.5}[proposal] * plain.std()
