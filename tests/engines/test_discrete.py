"""The engine `discrete` against enumeration of every path."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssmlang.engines.discrete import ChainGroup, Chains, Discrete
from ssmlang.engines.markov_chain import MarkovChain, Memory, stationary_log_law
from tests.engines.chain_oracle import enumerate_chain
from tests.engines.programs import jit

MEMORIES = [((3,), (1,)), ((2,), (2,)), ((2, 2), (2, 1)), ((2, 3), (1, 2)), ((2,), (3,))]


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def random_chain(values, rows, T, seed, *, varying, zeros=False):
    """A chain and the same as probabilities for the oracle."""
    rng = np.random.default_rng(seed)
    memory = Memory(values, rows)
    N, K = memory.size, memory.row_size
    initial = rng.dirichlet(np.ones(N))
    P = rng.dirichlet(np.ones(K), (T if varying else 1, N))
    P = np.broadcast_to(P, (T, N, K)).copy()
    if zeros:
        P[:, 0, 0] = 0.0
        P[:, 0] /= P[:, 0].sum(-1, keepdims=True)
        initial[0], initial[1] = 0.0, initial[0] + initial[1]
    log_emission = rng.normal(size=(T, N)) * 2
    log_emission[1] = 0.0  # a missing row
    with np.errstate(divide="ignore"):
        chain = MarkovChain(jnp.log(initial), jnp.log(P if varying else P[0]), jnp.asarray(log_emission), memory)
    return chain, (initial, P, log_emission, values, rows)


@pytest.mark.parametrize(("varying", "parallel"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize(("values", "rows"), MEMORIES)
def test_all_moments_equal_those_of_every_path(values, rows, parallel, varying):
    chain, plain = random_chain(values, rows, 4, 3, varying=varying, zeros=True)
    truth, engine = enumerate_chain(*plain), Discrete(parallel=parallel)
    np.testing.assert_allclose(jax.jit(engine.log_likelihood_terms)(chain), truth.terms, rtol=0, atol=1e-12)
    filtered, smoothed = jax.jit(lambda c: (engine.filter(c), engine.smooth(c)))(chain)
    np.testing.assert_allclose(filtered.predicted[0][0], truth.predicted, rtol=0, atol=1e-12)
    np.testing.assert_allclose(filtered.filtered[0][0], truth.filtered, rtol=0, atol=1e-12)
    np.testing.assert_allclose(filtered.log_likelihood, truth.terms, rtol=0, atol=1e-12)
    np.testing.assert_allclose(smoothed.smoothed[0][0], truth.smoothed, rtol=0, atol=1e-12)
    np.testing.assert_allclose(smoothed.log_likelihood, truth.terms, rtol=0, atol=1e-12)
    path = tuple(int(m) for m in smoothed.path[0][0])
    assert truth.paths[path] == pytest.approx(max(truth.paths.values()), rel=1e-12)


@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("once", [False, True])
def test_the_gradient_is_that_of_finite_differences(once, varying):
    chain, _ = random_chain((2, 2), (2, 1), 5, 7, varying=varying)
    engine = Discrete(once=once)
    parts = (chain.log_initial, chain.log_transition, chain.log_emission)
    value = jax.jit(lambda *parts: engine.log_likelihood(MarkovChain(*parts, chain.memory)))
    slopes = jax.jit(jax.grad(value, argnums=(0, 1, 2)))(*parts)
    rng = np.random.default_rng(0)
    moves = [jnp.asarray(rng.normal(size=p.shape)) for p in parts]
    h = 1e-5
    up = value(*(p + h * d for p, d in zip(parts, moves)))
    down = value(*(p - h * d for p, d in zip(parts, moves)))
    along = sum(jnp.sum(s * d) for s, d in zip(slopes, moves))
    np.testing.assert_allclose(along, (up - down) / (2 * h), rtol=1e-8)


def test_the_derivative_of_its_own_is_that_of_the_recursion_with_impossible_moves():
    chain, _ = random_chain((3,), (2,), 6, 1, varying=False, zeros=True)
    slope = lambda engine: jax.jit(jax.grad(lambda e: engine.log_likelihood(MarkovChain(
        chain.log_initial, chain.log_transition, e, chain.memory))))(chain.log_emission)  # fmt: skip
    plain = slope(Discrete())
    np.testing.assert_allclose(slope(Discrete(once=True)), plain, rtol=0, atol=1e-12)
    assert np.isfinite(plain).all()


def test_draws_of_paths_have_the_posterior_law():
    chain, plain = random_chain((2,), (2,), 4, 11, varying=False)
    truth = enumerate_chain(*plain)
    draws = 20_000
    (paths,) = jax.jit(Discrete().draw_paths)(chain, jax.random.split(jax.random.key(0), draws))
    seen: dict[tuple[int, ...], int] = {}
    for path in np.asarray(paths[:, 0]).tolist():
        seen[tuple(path)] = seen.get(tuple(path), 0) + 1
    assert set(seen) <= set(truth.paths)
    for path, p in truth.paths.items():
        assert abs(seen.get(path, 0) / draws - p) < 4.5 * np.sqrt(p * (1 - p) / draws) + 1e-4


def test_chains_that_never_meet_are_run_side_by_side():
    made = [random_chain((2,), (1,), 5, seed, varying=False) for seed in (1, 2, 3)]
    stack = lambda name: jnp.stack([getattr(c, name) for c, _ in made])
    whole = MarkovChain(stack("log_initial"), stack("log_transition"), stack("log_emission"), made[0][0].memory)
    other, plain = random_chain((3,), (2,), 5, 4, varying=True)
    alone = ChainGroup(MarkovChain(other.log_initial[None], other.log_transition[None], other.log_emission[None],
                                   other.memory))  # fmt: skip
    truth = [enumerate_chain(*p) for _, p in made] + [enumerate_chain(*plain)]
    found = jax.jit(Discrete().smooth)(Chains((ChainGroup(whole), alone)))
    np.testing.assert_allclose(found.log_likelihood, sum(t.terms for t in truth), atol=1e-12)
    np.testing.assert_allclose(found.smoothed[0], [t.smoothed for t in truth[:3]], atol=1e-12)
    np.testing.assert_allclose(found.smoothed[1][0], truth[3].smoothed, atol=1e-12)


def test_evidence_may_turn_after_any_length():
    """Two models of which one holds for ever: the odds go beyond e^700 and come back."""
    T = 400
    gain = np.where(np.arange(T) < T // 2, 5.0, -5.0)
    emission = np.stack([gain, -gain], axis=1)
    chain = MarkovChain.of([0.5, 0.5], np.eye(2), emission)
    np.testing.assert_allclose(jax.jit(Discrete().log_likelihood)(chain), np.log(0.5) + np.log(2.0), atol=1e-9)
    np.testing.assert_allclose(jax.jit(Discrete().filter)(chain).filtered[0][0][-1], [0.5, 0.5], atol=1e-12)


def test_what_cannot_be_has_no_density_and_no_infinite_derivative():
    chain = MarkovChain.of([1.0, 0.0], np.eye(2), np.array([[0.0, 0.0], [-np.inf, 0.0], [0.0, 0.0]]))
    assert jax.jit(Discrete().log_likelihood)(chain) == -np.inf
    slope = jax.jit(jax.grad(lambda e: Discrete(once=True).log_likelihood(MarkovChain(
        chain.log_initial, chain.log_transition, e, chain.memory))))(chain.log_emission)  # fmt: skip
    assert np.isfinite(slope).all()


@pytest.mark.parametrize(("values", "rows"), [((3,), (1,)), ((2,), (3,)), ((2, 3), (1, 2))])
def test_the_stationary_law_stays_what_it_is(values, rows):
    chain, _ = random_chain(values, rows, 4, 5, varying=False)

    @jit
    def asked(log_transition):
        law = jnp.exp(stationary_log_law(log_transition, chain.memory))
        return law, chain.memory.gather(law[:, None] * jnp.exp(log_transition), jnp.sum)

    law, after = asked(chain.log_transition)
    np.testing.assert_allclose(after, law, atol=1e-13)
    np.testing.assert_allclose(np.sum(law), 1.0, atol=1e-13)
