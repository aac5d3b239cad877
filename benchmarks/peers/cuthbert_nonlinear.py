"""cuthbert: its filter by linearised moments, one after the other; it has no unscented one of that name.

Its states start one transition before the first observation: one that moves nothing, as its first input says.
"""

import jax.numpy as jnp
from cuthbert import filter as run_filter
from cuthbert.gaussian import moments
from lorenz import SD_MOVE, SD_SEEN, START, START_SD, moved, seen, tasks
from serving import serve


def ekf(theta, y):
    def dynamics(state, row):
        first, _ = row
        step = lambda x: (jnp.where(first, x, moved(theta, x)), jnp.where(first, 0.0, SD_MOVE) * jnp.eye(3))
        return step, state.mean

    built = moments.build_filter(
        jnp.asarray(START), START_SD * jnp.eye(3), dynamics,
        lambda state, row: (lambda x: (seen(x), SD_SEEN * jnp.eye(2)), state.mean, row[1]),
    )  # fmt: skip
    rows = (jnp.arange(len(y) + 1) <= 1, jnp.concatenate([y[:1], y]))
    return run_filter(built, rows, built.init_prepare()).log_normalizing_constant[-1]


if __name__ == "__main__":
    lacking = dict.fromkeys(("ukf", "ukf-gradient"), "no unscented filter")
    serve(tasks({"ekf": ekf}), ["cuthbert", "jax"], lacking)
