"""The exact diffuse start against the dense limit (what the flat directions take up is projected out)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ssmlang.engines import DiffuseHead, Kalman, diffuse_head

from .oracle import Dense
from .programs import Kind, jit, make, random_data, random_program
from .test_kalman import close

STEPS = 8
FILTER = jit(lambda engine, program, y: engine.filter(program, y, memory=True), static_argnums=0)
SMOOTH = jit(lambda engine, program, y: engine.smooth(program, y, memory=True), static_argnums=0)


def trend_and_cycle():
    """A local linear trend with a seasonal of period 4 and a second series; the trend's slope has no noise."""
    F = np.zeros((1, 5, 5))
    F[0, 0, :2] = 1.0
    F[0, 1, 1] = 1.0
    F[0, 2, 2:] = -1.0
    F[0, 3, 2] = F[0, 4, 3] = 1.0
    G = np.zeros((1, 5, 4))
    G[0, 0, 0] = 0.3
    G[0, 2, 1] = 0.2
    H = np.array([[[1.0, 0, 1, 0, 0], [0.5, 0, 0, 0, 0]]])
    J = np.zeros((1, 2, 4))
    J[0, 0, 2], J[0, 1, 3] = 0.7, 0.4
    return make(F, G, H, J, diffuse=np.eye(5))


def never_seen():
    """Two random walks of which only the sum is observed, and one that nothing observes."""
    F = np.eye(3)[None]
    G = np.concatenate([np.eye(3) * 0.5, np.zeros((3, 1))], axis=1)[None]
    return make(F, G, [[[1.0, 1.0, 0.0]]], [[[0.0, 0.0, 0.0, 0.8]]], diffuse=np.eye(3))


def forgotten():
    """A flat first state that the transition forgets before anything is observed."""
    return make([[[0.0]]], [[[1.0, 0.0]]], [[[1.0]]], [[[0.0, 0.5]]], diffuse=[[1.0]])


PROGRAMS = {
    "trend and cycle": trend_and_cycle(),
    "never seen": never_seen(),
    "forgotten": forgotten(),
    "order 2": random_program(Kind(n=2, m=1, order=2, diffuse=4, noise="own", rank=0, seed=22), STEPS),
    "exact": random_program(Kind(n=2, m=2, r=3, order=2, diffuse=3, noise="none", rank=1, seed=23), STEPS),
    "varying": random_program(
        Kind(n=2, m=2, r=4, emission_lags=1, noise_lags=1, diffuse=2, varying=True, seed=24), STEPS
    ),
}
PATTERNS = {
    "full": (0.0, ()),
    "late": (0.0, (0, 1, 3)),
    "holes": (0.4, (0, 6, 7)),
}


def data_for(program, pattern):
    share, rows = PATTERNS[pattern]
    return random_data(Kind(m=program.structure.m, seed=5), STEPS, share, rows)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_diffuse_filter_and_smoother(name, pattern):
    program, y = PROGRAMS[name], data_for(PROGRAMS[name], pattern)
    dense, n = Dense(program, STEPS), program.structure.n
    # One program takes the way through `cond`; to run all rows in diffuse form is as right, and compiles sooner.
    engine = Kalman(diffuse=DiffuseHead(4, False) if name == "trend and cycle" else DiffuseHead(STEPS, True))
    got = FILTER(engine, program, y)
    before = 0.0
    for t in range(STEPS):
        compare(got.predicted_mean[t], got.predicted_cov[t], dense.posterior(dense.x[t], y, t))
        compare(got.observed_mean[t], got.observed_cov[t], dense.posterior(dense.y[t], y, t))
        compare(got.memory_mean[t], got.memory_cov[t], dense.posterior(dense.memory[t], y, t + 1))
        total = dense.log_likelihood(y, t + 1)
        close(got.log_likelihood[t], total - before)
        before = total
    got = SMOOTH(engine, program, y)
    for t in range(STEPS):
        compare(got.memory_mean[t], got.memory_cov[t], dense.posterior(dense.memory[t], y, STEPS))
        compare(got.observed_mean[t], got.observed_cov[t], dense.posterior(dense.signal[t], y, STEPS))
        close(got.mean[t], got.memory_mean[t, :n])
        close(got.cov[t], got.memory_cov[t, :n, :n])


def compare(mean, cov, want):
    # The backward recursions subtract terms of the size of what the diffuse phase went through.
    close(mean, want[0], 1e-8)
    close(cov, want[1], 1e-7)


def test_length_of_the_diffuse_head_changes_nothing():
    """Too short a head: the way out is taken, to the last row."""
    program, y = PROGRAMS["never seen"], data_for(PROGRAMS["never seen"], "late")
    for moments in (FILTER, SMOOTH):
        want = moments(Kalman(diffuse=DiffuseHead(STEPS, True)), program, y)
        for a, b in zip(moments(Kalman(diffuse=DiffuseHead(1, False)), program, y), want, strict=True):
            close(a, b, 1e-9)


def test_head_follows_the_missing_pattern():
    program = PROGRAMS["trend and cycle"]
    seen = np.ones((40, 2), bool)
    assert diffuse_head(program, seen) == (4, True)
    seen[:9] = False
    assert diffuse_head(program, seen) == (16, True)
    assert diffuse_head(PROGRAMS["never seen"], np.ones((40, 1), bool)) == (40, True)
    assert diffuse_head(PROGRAMS["forgotten"], np.ones((40, 1), bool)) == (1, True)


def test_head_of_a_traced_program_is_a_guess_that_costs_nothing():
    """A slope that enters through a traced zero is never seen; structure alone cannot know."""
    program = make(
        [[[1.0, 1.0], [0.0, 1.0]]], [[[1.0, 0.0], [0.0, 0.0]]], [[[1.0, 0.0]]], [[[0.0, 1.0]]], diffuse=np.eye(2)
    )
    y = random_data(Kind(seed=3), STEPS)

    @jit
    def ends(F, y):
        traced = replace(program, F=F)
        assert diffuse_head(traced, np.ones((STEPS, 1), bool)) == (2, False)
        return Kalman().filter(traced, y)

    seen, unseen = (ends(np.array([[[1.0, b], [0.0, 1.0]]]), y) for b in (1.0, 0.0))
    assert np.isfinite(np.asarray(seen.cov)[2:]).all()
    assert np.isinf(np.asarray(unseen.cov)[:, 1, 1]).all()
    dense = Dense(replace(program, F=np.eye(2)[None]), STEPS)
    close(np.asarray(unseen.log_likelihood).sum(), dense.log_likelihood(y))


def test_nothing_observed_at_all():
    program = PROGRAMS["trend and cycle"]
    y = np.full((STEPS, 2), np.nan)
    got = FILTER(Kalman(diffuse=DiffuseHead(4, False)), program, y)
    assert float(got.log_likelihood.sum()) == 0.0
    assert np.isinf(np.asarray(got.cov)[:, range(5), range(5)]).all()
    assert np.isinf(np.asarray(got.observed_cov)[:, range(2), range(2)]).all()
