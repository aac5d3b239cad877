"""Engines for programs that read many rows back: each other's tests, and the dense oracle's."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import jax
import numpy as np
import pytest

from ssmlang.engines import Banded, Batch, Dual, Growing, Kalman, WienerHopf

from .oracle import Dense
from .programs import Kind, jit, make, random_data, random_program
from .systems import NAMES, system, system_data
from .test_kalman import close

LONG = 200
ENGINES = {"dual": Dual(), "growing": Growing(), "batch": Batch(), "wiener_hopf": WienerHopf(), "banded": Banded()}
ANY_NOISE = [name for name in ENGINES if name != "banded"]


def everything(engine, program, y):
    return engine.log_likelihood(program, y), engine.filter(program, y), engine.smooth(program, y)


@cache
def by_kalman(name):
    y = system_data(LONG)
    y[[3, 50, 51, 120]] = np.nan
    program = system(name, LONG)
    return program, y, jit(lambda program, y: everything(Kalman(), program, y))(program, y)


def same(got, want, tolerance=1e-9):
    close(got[0], want[0], tolerance)
    for a, b in zip(got[1][:7], want[1][:7], strict=True):
        close(a, b, tolerance)
    for a, b in zip(got[2][:5], want[2][:5], strict=True):
        close(a, b, tolerance)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("engine", ENGINES)
def test_the_papers_systems(name, engine):
    program, y, want = by_kalman(name)
    same(jit(lambda program, y: everything(ENGINES[engine], program, y))(program, y), want)


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_systems_by_dense_algebra(name):
    steps = 25
    program, y = system(name, steps), system_data(steps)
    dense = Dense(program, steps)
    _, filtered, smoothed = jit(lambda program, y: everything(WienerHopf(), program, y))(program, y)
    for t in (0, 1, 2, 11, 24):
        close(filtered.predicted_mean[t], dense.posterior(dense.x[t], y, t)[0])
        close(filtered.predicted_cov[t], dense.posterior(dense.x[t], y, t)[1])
        close(smoothed.cov[t], dense.posterior(dense.x[t], y, steps)[1])
    close(filtered.log_likelihood.sum(), dense.log_likelihood(y))


STEPS = 9
KINDS = {
    "everything": Kind(
        n=2, m=2, r=4, order=7, emission_lags=2, noise_lags=2, emission_noise_lags=1, varying=True, rank=5, seed=41
    ),
    "moving average": Kind(n=1, m=1, r=1, order=2, noise_lags=2, noise="none", seed=6),
    "dense noise": Kind(n=2, m=3, r=1, order=3, noise="dense", rank=0, seed=42),
}


@cache
def by_algebra(name):
    kind = KINDS[name]
    program, y = random_program(kind, STEPS), random_data(kind, STEPS, 0.3, (0, 4, 8))
    dense = Dense(program, STEPS)
    rows = range(STEPS)
    predicted = [dense.posterior(dense.x[t], y, t) for t in rows]
    observed = [dense.posterior(dense.y[t], y, t) for t in rows]
    filtered = [dense.posterior(dense.x[t], y, t + 1) for t in rows]
    states = [dense.posterior(dense.x[t], y, STEPS) for t in rows]
    signals = [dense.posterior(dense.signal[t], y, STEPS) for t in rows]
    terms = np.diff([0.0, *(dense.log_likelihood(y, t + 1) for t in rows)])
    stack = lambda pairs: tuple(np.stack(part) for part in zip(*pairs, strict=True))
    return (
        program, y,
        (terms.sum(), (*stack(filtered), *stack(predicted), *stack(observed), terms),
         (*stack(states), *stack(signals), terms)),
    )  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("engine", ANY_NOISE)
def test_random_programs_by_dense_algebra(name, engine):
    program, y, want = by_algebra(name)
    same(jit(lambda program, y: everything(ENGINES[engine], program, y))(program, y), want, 1e-8)


FRESH = {
    "lags in both": Kind(n=2, m=2, r=2, order=3, emission_lags=1, noise="dense", varying=True, rank=3, seed=43),
    "long": Kind(n=1, m=2, r=1, order=20, noise="own", seed=44),
    "several blocks": Kind(n=3, m=1, r=3, order=2, noise="own", rank=0, seed=45),
}


@pytest.mark.parametrize("name", FRESH)
def test_banded_smooths_with_any_initial_law(name):
    kind, steps = FRESH[name], 23
    program, y = random_program(kind, steps), random_data(kind, steps, 0.3, (0, 4, 22))
    want = jit(Kalman().smooth)(program, y)
    value, got = jit(lambda p, y: (Banded().log_likelihood(p, y), Banded().smooth(p, y)))(program, y)
    close(value, want.log_likelihood.sum())
    for a, b in zip(got[:4], want[:4], strict=True):
        close(a, b)


NUMBERS = "FcGHdJ"


@pytest.mark.parametrize("engine", ENGINES)
def test_gradients(engine):
    kind = Kind(n=2, m=2, r=3, order=3, noise="own", rank=3, seed=46)
    if engine != "banded":
        kind = replace(kind, noise="shared", noise_lags=1)
    program, y = random_program(kind, STEPS), random_data(kind, STEPS, 0.2, (4,))
    point = {name: np.asarray(getattr(program, name)) for name in NUMBERS}

    def slope(engine):
        def value(point, law):
            moved = replace(program, initial=program.initial._replace(**law), **point)
            return engine.log_likelihood(moved, y)

        law = {"mean": program.initial.mean, "factor": program.initial.factor}
        return jit(jax.value_and_grad(value, argnums=(0, 1)))(point, law)

    want, got = slope(Kalman()), slope(ENGINES[engine])
    for name, value in point.items():  # the slope at an entry that is structurally zero has no meaning
        close(np.where(value != 0, got[1][0][name], 0.0), np.where(value != 0, want[1][0][name], 0.0), 1e-8)
    jax.tree.map(lambda a, b: close(a, b, 1e-8), (got[0], got[1][1]), (want[0], want[1][1]))


@pytest.mark.parametrize("engine", ["growing", "batch", "wiener_hopf"])
def test_exactly_predicted_observations(engine):
    """A random walk seen twice without noise: the second look says nothing, or is impossible."""
    program = make(
        np.ones((1, 1, 1)), np.ones((1, 1, 1)), np.ones((1, 2, 1)), np.zeros((1, 2, 1)), factor=np.ones((1, 1))
    )
    y = np.repeat(np.cumsum([0.3, -1.2, 0.4, 0.0, 2.0])[:, None], 2, axis=1)
    value = jit(ENGINES[engine].log_likelihood_terms)
    close(value(program, y), Kalman().log_likelihood_terms(program, y))
    y[3, 1] += 0.01
    assert float(value(program, y)[3]) == -np.inf


def test_rows_before_the_first_that_do_not_exist_change_nothing():
    """A program that does not say that rows before 0 are zero gives the same numbers."""
    program, y = system("fractional", 30), system_data(30)
    wide = replace(program, structure=replace(program.structure, past_rows=None))
    run = jit(lambda program, y: everything(Dual(), program, y))
    same(run(wide, y), run(program, y))


@pytest.mark.parametrize("engine", ENGINES)
def test_diffuse_starts_are_refused(engine):
    program = random_program(Kind(noise="own", diffuse=1), 5)
    if engine in ("dual", "banded"):
        with pytest.raises(ValueError, match="diffuse"):
            ENGINES[engine].smooth(program, np.zeros((5, 1)))
    else:
        with pytest.raises(ValueError, match="diffuse"):
            ENGINES[engine].filter(program, np.zeros((5, 1)))
