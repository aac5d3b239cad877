"""cuthbert: its sequential square-root filter and smoother, the faster ones on a CPU.

Its states start one transition before the first observation; the law of the first state is given by a first transition
that moves nothing.
"""

import jax
import jax.numpy as jnp
from cuthbert import filter as run_filter
from cuthbert import smoother as run_smoother
from cuthbert.gaussian import kalman
from jax_tasks import matrices, of_panel, of_series, of_singular, of_smoother, timed, value
from serving import Job, Problem, serve


def parts(F, H, Q, R, y, factor=None):
    """What the filter and the smoother are built of: the law of the state, transition, emission, and inputs by row."""
    n, m = F.shape[0], H.shape[0]
    root_Q = jnp.linalg.cholesky(Q) if factor is None else factor
    root_R = jnp.linalg.cholesky(R)
    start = jnp.zeros(len(y)).at[0].set(1.0)
    move = lambda row: (jnp.where(row[1] > 0, jnp.eye(n), F), jnp.zeros(n), jnp.where(row[1] > 0, 0.0, root_Q))
    see = lambda row: (H, jnp.zeros(m), root_R, row[0])
    return (jnp.zeros(n), jnp.eye(n)), move, see, (y, start)


def filtered(*arguments, parallel=False, factor=None):
    law, move, see, rows = parts(*arguments, factor=factor)
    built = kalman.build_filter(*law, move, see)
    return run_filter(built, rows, built.init_prepare(), parallel=parallel)


def loglik(F, H, Q, R, y):
    return filtered(F, H, Q, R, y).log_normalizing_constant[-1]


def smooth(F, H, Q, R, y):
    _, move, _, rows = parts(F, H, Q, R, y)
    found = run_smoother(kalman.build_smoother(move), filtered(F, H, Q, R, y), rows)
    return found.mean[1:], jnp.einsum("tij,tkj->tik", found.chol_cov, found.chol_cov)[1:]


def varying(problem: Problem) -> Job:
    F, H, Q, R = matrices(problem)

    def total(F, H, Q, R, y):
        n, m = F.shape[-1], H.shape[-2]
        root_Q, root_R = jnp.linalg.cholesky(Q), jnp.linalg.cholesky(R)
        F = F.at[0].set(jnp.eye(n))
        scale = jnp.ones(len(y)).at[0].set(0.0)
        move = lambda row: (row[0], jnp.zeros(n), row[2] * root_Q)
        see = lambda row: (row[1], jnp.zeros(m), root_R, row[3])
        built = kalman.build_filter(jnp.zeros(n), jnp.eye(n), move, see)
        return run_filter(built, (F, H, scale, y), built.init_prepare()).log_normalizing_constant[-1]

    return Job(timed(jax.jit(total), F, H, Q, R, jnp.asarray(problem["y"])), value)


def singular_ways():
    """The noise given by Cholesky's factor of Q, or by a factor of its own with a column of zeros."""

    def way(parallel, own):
        def one(F, H, G, Q, R, y):
            factor = jnp.concatenate([G, jnp.zeros((2, 1))], axis=1) if own else None
            return filtered(F, H, Q, R, y, parallel=parallel, factor=factor).log_normalizing_constant[-1]

        return one

    return {
        "sequential, cholesky(Q)": way(False, False),
        "sequential, factor of Q given": way(False, True),
        "parallel, factor of Q given": way(True, True),
    }


series = of_series(loglik)
TASKS = {
    **series,
    **of_panel(loglik),
    **of_smoother(smooth),
    **of_singular(singular_ways()),
    "missing": series["loglik"],
    "varying": varying,
}

if __name__ == "__main__":
    serve(TASKS, ["cuthbert", "cuthbertlib", "jax"])
