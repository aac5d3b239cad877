"""A path near the data from which the mode of a bent program is looked for.

Without noise a path of a system that amplifies what it begins with is nowhere near the data, and the way from there to
the mode leads past others: on Lorenz' equations a search from it ended 2,400 below the mode in the logarithm. A filter
of one mode a row (`_mode_filter`) never leaves the data. The program made quadratic about what it leaves of each row,

    s_t - m_t = d_t + F_t (s_{t-1} - m_{t-1}) + G_t (e_t - u_t),      d_t = f_t(m_{t-1}, u_t) - m_t,

is smoothed exactly (`_riccati`, with the offsets d; u = 0), again about the smoothed m and u, and so on: Gauss and
Newton's steps over all rows whose paths need not be the program's own, which is why what one row amplifies does not
reach the others (Bock & Plitt 1984). After each the program itself is followed with the gains of the solution,
e_t = u_t + k_t - K_t (s_{t-1} - m_{t-1}), which keep it beside the smoothed path (Li & Todorov 2004), and the best of
the paths that it takes is handed out.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ssmlang.engines import _riccati as riccati
from ssmlang.engines._expansion import Expansion, Noises, Numbers, Path, World, log_joint, motion, slopes
from ssmlang.engines._mode_filter import by_rows
from ssmlang.engines._small_matrices import solve_lower, solve_lower_transposed
from ssmlang.engines.nonlinear import Facts
from ssmlang.engines.semidefinite import positive_part

STEPS = 20
"""Newton steps to the mode of a row."""
ROUNDS = 6
"""How often all rows are smoothed together."""


class Seen:
    """A `World` with its numbers, as the filter takes a program."""

    def __init__(self, world: World, numbers: Numbers) -> None:
        self.facts: Facts = world.facts
        self.first = lambda e: world.first(e, *numbers.first)
        self.transition = lambda t, s, e: world.transition(t, s, e, *numbers.transition)
        self.log_emission = lambda t, s, y: world.log_emission(t, s, y, *numbers.log_emission)


def shadow(world: World, numbers: Numbers) -> Path:
    """Noises and memories of such a path; not to be differentiated."""
    program = Seen(world, numbers)
    m = by_rows(program, numbers.y, STEPS).mean
    still = Noises(jnp.zeros(world.facts.first_noises), jnp.zeros((len(m) - 1, world.facts.noises)))

    def again(now: tuple[Path, Path, Array], _: None) -> tuple[tuple[Path, Path, Array], None]:
        about, best, value = now
        step = _solved(world, numbers, program, about)
        found = _followed(program, about, step)
        own = jnp.sum(log_joint(world, numbers, found))
        better = own > value
        best = jax.tree.map(lambda a, b: jnp.where(better, a, b), found, best)
        return (_carried(about, step), best, jnp.where(better, own, value)), None

    begun = Path(still, m)
    low = jnp.full((), -jnp.inf, m.dtype)
    return jax.lax.scan(again, (begun, begun, low), None, length=ROUNDS)[0][1]


class _Step(NamedTuple):
    """The noises of the quadratic problem: e_t = u_t + k_t - K_t (s_{t-1} - m_{t-1})."""

    first: Float[Array, " r0"]
    k: Float[Array, "T-1 r"]
    K: Float[Array, "T-1 r N"]
    x: Expansion
    d0: Float[Array, " N"]
    d: Float[Array, "T-1 N"]


def _solved(world: World, numbers: Numbers, program: Seen, about: Path) -> _Step:
    (u0, u), m = about
    G0, F, G = motion(world, numbers, about)
    b, W = slopes(world, numbers, m)
    x = Expansion(G0, F, G, b, positive_part(W))
    f = riccati.factor(x)
    d0 = program.first(u0) - m[0]
    d = jax.vmap(program.transition)(jnp.arange(1, len(m)), m[:-1], u) - m[1:]

    def back(v: Array, row: tuple[Array, ...]) -> tuple[Array, Array]:
        F, G, root, K, Pi, b, d, u = row
        pull = v - Pi @ d
        h = G.T @ pull - u
        return b + F.T @ pull - K.T @ h, solve_lower_transposed(root, solve_lower(root, h))

    v0, k = jax.lax.scan(back, b[-1], (F, G, f.root, f.K, f.Pi[1:], b[:-1], d, u), reverse=True)
    h = G0.T @ (v0 - f.Pi[0] @ d0) - u0
    return _Step(solve_lower_transposed(f.root0, solve_lower(f.root0, h)), k, f.K, x, d0, d)


def _carried(about: Path, step: _Step) -> Path:
    """The smoothed path, which the program need not take."""

    def on(r: Array, row: tuple[Array, ...]) -> tuple[Array, tuple[Array, Array]]:
        F, G, k, K, d = row
        e = k - K @ r
        r = d + F @ r + G @ e
        return r, (e, r)

    start = step.d0 + step.x.G0 @ step.first
    _, (e, r) = jax.lax.scan(on, start, (step.x.F, step.x.G, step.k, step.K, step.d))
    (u0, u), m = about
    return Path(Noises(u0 + step.first, u + e), m + jnp.concatenate([start[None], r]))


def _followed(program: Seen, about: Path, step: _Step) -> Path:
    """The path that the program takes by these noises."""
    (u0, u), m = about

    def on(s: Array, row: tuple[Array, ...]) -> tuple[Array, tuple[Array, Array]]:
        t, m, u, k, K = row
        e = u + k - K @ (s - m)
        s = program.transition(t, s, e)
        return s, (e, s)

    e0 = u0 + step.first
    start = program.first(e0)
    _, (e, s) = jax.lax.scan(on, start, (jnp.arange(1, len(m)), m[:-1], u, step.k, step.K))
    return Path(Noises(e0, e), jnp.concatenate([start[None], s]))
