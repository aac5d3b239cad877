"""A LinearGaussian program in Markov form, on its memory.

    s_t = A_t s_{t-1} + a_t + B_t e_t,        t = 1, 2, ...
    y_t = Z_t s_t + d_t + v_t,                v_t ~ N(0, C_t + diag R_t) independent over t

Which memory that is, `Layout` says.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssmlang.engines.layout import Layout
from ssmlang.engines.program import Initial, LinearGaussian, NoiseCovariance


class Markov(NamedTuple):
    """The program in Markov form; arrays are constant or have a leading axis T.

    `top` are the rows of A that give x_t, over the first `layout.read` entries of s_{t-1}; the other rows of A shift
    (see `_univariate.advance_rows`). Q = B B'.
    """

    top: Float[Array, "*T n read"]
    a: Float[Array, "*T n"]
    Q: Float[Array, "*T N N"]
    Z: Float[Array, "*T m N"]
    d: Float[Array, "*T m"]
    R: Float[Array, "*T m"]
    mean: Float[Array, " N"]
    cov: Float[Array, "N N"]
    diffuse: Float[Array, "N d"]
    C: Float[Array, "*T m m"] | None = None
    """Covariance of the observations' noises beside R, where the layout keeps it out of the memory"""


def companion(program: LinearGaussian, layout: Layout) -> Markov:
    """Bring a program into Markov form on the memory of `layout`."""
    sometimes = program.initial.exists is not True
    program = jax.tree.map(jnp.asarray, program)
    J, s, M = program.J, layout.structure, list(layout.memory_noises)
    N, extra = layout.size, len(layout.row_noises)

    blocks = [_lagged(program.F, *layout.columns["F"])]
    if M:
        blocks.append(_lagged(program.G[..., 1:, :, :][..., M], *layout.columns["G"]))
    top = _beside(blocks)[..., : layout.read]

    blocks = [_lagged(program.H, *layout.columns["H"])]
    if M:
        blocks.append(_lagged(J[..., M], *layout.columns["J"]))
    if extra:
        blocks.append(J[..., 0, :, :][..., list(layout.row_noises)])
    Z = _beside(blocks)

    if sometimes:
        # Where there is no initial law, a transition that cannot overflow keeps derivatives finite.
        top = jnp.where(program.initial.exists, top, 0.0)

    stated, factored = _stated(program, "G", M)
    B = noise_loading(program, layout)[..., [j for j in factored if j in layout.entering_noises]]
    Q = B @ jnp.swapaxes(B, -1, -2) + _placed(stated, N)

    J0 = J[..., 0, :, :]
    stated, factored = _stated(program, "J", M if layout.correlated else range(s.r))
    R = jnp.sum(J0[..., [j for j in layout.own_noises if j in factored]] ** 2, axis=-1)
    C = None
    if layout.correlated:
        shared = J0[..., [j for j in layout.shared_noises if j in factored]]
        C = shared @ jnp.swapaxes(shared, -1, -2) + _placed(stated, s.m)
        for c in stated:
            # Its last noise is read by one observation. Only the sum of R and C has a derivative.
            own = c.root[..., -1:, -1] ** 2 * (np.arange(s.m) == c.rows[-1])
            R, C = R + own, C - own[..., None] * np.eye(s.m)

    init = initial(program, layout)
    cov = init.factor @ init.factor.T + init.cov
    cov = jnp.pad(cov, (0, extra)) + np.diag(np.arange(N) >= N - extra).astype(cov.dtype)
    return Markov(
        top=top,
        a=program.c,
        Q=Q,
        Z=Z,
        d=program.d,
        R=R,
        mean=jnp.pad(init.mean, (0, extra)),
        cov=cov,
        diffuse=jnp.pad(init.diffuse, ((0, extra), (0, 0))),
        C=C,
    )


def _stated(program: LinearGaussian, matrix: str, loadings: Collection[int]) -> tuple[list[NoiseCovariance], list[int]]:
    """The stated covariances of noises of G_0 or J_0 of which no `loadings` are wanted, and the other noises."""
    found = [c for c in program.covariances if c.matrix == matrix and {*c.noises}.isdisjoint(loadings)]
    stated = {j for c in found for j in c.noises}
    return found, [j for j in range(program.structure.r) if j not in stated]


def _placed(covariances: list[NoiseCovariance], size: int) -> Array | float:
    """Their sum over so many rows."""
    total: Array | float = 0.0
    for c in covariances:
        first, last = c.rows[0], c.rows[-1]
        at: Any = (slice(first, last + 1),) * 2 if c.rows == tuple(range(first, last + 1)) else np.ix_(c.rows, c.rows)
        total = total + jnp.zeros((*c.cov.shape[:-2], size, size), c.cov.dtype).at[(..., *at)].set(c.cov)
    return total


def initial(program: LinearGaussian, layout: Layout) -> Initial:
    """The initial law of those entries of the program's memory that `layout` keeps."""
    init, kept = program.initial, layout.kept
    if len(kept) == layout.structure.memory_size:
        return init
    mean, factor, cov, diffuse = init.mean[kept], init.factor[kept], init.cov[kept][:, kept], init.diffuse[kept]
    return Initial(mean, factor, cov, diffuse, init.exists)


def memory_transition(program: LinearGaussian) -> tuple[Array, Array, Array]:
    """A (N, N), a (N,) and B (N, r) of s_t = A s_{t-1} + a + B e_t on the program's own memory, as dense arrays.

    With a leading axis T where the program's arrays have one; for stationary laws and analysis, not for filtering.
    """
    program = jax.tree.map(jnp.asarray, program)
    layout = Layout(program.structure, whole=True)
    markov = companion(program, layout)
    N, n = layout.program_size, layout.structure.n
    top = jnp.pad(markov.top, [(0, 0)] * (markov.top.ndim - 1) + [(0, N - layout.read)])
    moves = np.zeros((N - n, N))
    to = np.flatnonzero(layout.source[n:N] >= 0)
    moves[to, layout.source[n:N][to]] = 1.0
    below = jnp.broadcast_to(jnp.asarray(moves, top.dtype), (*top.shape[:-2], N - n, N))
    a = jnp.pad(markov.a, [(0, 0)] * (markov.a.ndim - 1) + [(0, N - n)])
    return jnp.concatenate([top, below], axis=-2), a, noise_loading(program, layout)[..., :N, :]


def noise_loading(program: LinearGaussian, layout: Layout) -> Float[Array, "*T N r"]:
    """B: how the noises e_t enter s_t."""
    s, dtype = layout.structure, program.d.dtype
    G0 = program.G[..., 0, :, :] if len(layout.patterns[1]) else jnp.zeros((s.n, s.r), dtype)
    below = np.zeros((layout.size - s.n, s.r))
    for entry, noise in layout.entering:
        below[entry - s.n, noise] = 1.0
    return jnp.concatenate([G0, jnp.broadcast_to(jnp.asarray(below, dtype), (*G0.shape[:-2], *below.shape))], axis=-2)


def _lagged(X: Float[Array, "*T lags i j"], at: np.ndarray, zeros: int) -> Float[Array, "*T i _"]:
    """[X_0 X_1 ...], of whose columns those `at` are taken, and zeros after them."""
    lags, i, j = X.shape[-3:]
    wide = jnp.swapaxes(X, -3, -2).reshape((*X.shape[:-3], i, lags * j))
    if len(at) < lags * j:
        wide = wide[..., at]
    return jnp.pad(wide, [(0, 0)] * (X.ndim - 2) + [(0, zeros)])


def _beside(blocks: list[Float[Array, "*T i _"]]) -> Float[Array, "*T i _"]:
    """Blocks side by side; those constant in time are repeated where another is not."""
    leading = jnp.broadcast_shapes(*(b.shape[:-2] for b in blocks))
    return jnp.concatenate([jnp.broadcast_to(b, leading + b.shape[-2:]) for b in blocks], axis=-1)
