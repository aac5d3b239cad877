"""The mode where the state is one number that moves linearly: every pass a loop of a few operations a row.

    s_0 ~ N(m, P),   s_t = c_t + F_t s_{t-1} + w_t,   w_t ~ N(0, q_t),

with log p(y_t | s) near a path as a_t s - W_t s^2 / 2. What the rows from t on say of s_t is xi_t s - Pi_t s^2 / 2:

    J_t = 1 + q_t Pi_t,   Pi_{t-1} = W_{t-1} + F_t^2 Pi_t / J_t,   xi_{t-1} = a_{t-1} + F_t (xi_t - Pi_t c_t) / J_t,

and the mode is s_t = (c_t + F_t s_{t-1} + q_t xi_t) / J_t, w_t = q_t u_t with u_t = xi_t - Pi_t s_t. Variances may be
zero. The derivative of Laplace's likelihood is in closed form (`log_likelihood`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ssmlang.engines._expansion import Noises, Numbers, World, bent
from ssmlang.engines._kernel import one_kernel

HALVINGS = 40


class Rows(NamedTuple):
    """Numbers of the state's law; F, c and q have a row less than the data, that of row 0 being m and P."""

    m: Float[Array, ""]
    P: Float[Array, ""]
    F: Float[Array, " T-1"]
    c: Float[Array, " T-1"]
    q: Float[Array, " T-1"]


class Emission(NamedTuple):
    """log p(y_t | s_t) of every row as a function of all s, and the numbers that it reads. `function` is static."""

    function: Callable[..., Array]
    numbers: Any


class Mode(NamedTuple):
    """The most probable path and the factors there."""

    s: Float[Array, " T"]
    u: Float[Array, " T"]
    J: Float[Array, " T"]
    Pi: Float[Array, " T"]


def fits(world: World) -> bool:
    """Whether a program is of this kind, and its mode can be looked for from the path without noise."""
    f = world.facts
    return f.linear and f.N == 1 and f.noises == 1 and not bent(f)


def rows_of(world: World, numbers: Numbers) -> tuple[Rows, Float[Array, " r0"], Float[Array, " T-1"]]:
    """The state's law, and the loadings of row 0 and of later rows, differentiable."""
    t = jnp.arange(1, len(numbers.y))
    none, zero = jnp.zeros(world.facts.first_noises), jnp.zeros(1)
    G0 = jax.jacfwd(lambda e: world.first(e, *numbers.first))(none)[0]
    step = lambda t, s, e: world.transition(t, s, e, *numbers.transition)
    F, G = jax.vmap(lambda t: jax.jacfwd(step, argnums=(1, 2))(t, zero, zero))(t)
    F, G = F[:, 0, 0], G[:, 0, 0]
    c = jax.vmap(lambda t: step(t, zero, zero)[0])(t)
    return Rows(world.first(none, *numbers.first)[0], jnp.sum(G0**2), F, c, G**2), G0, G


def emission_of(world: World, numbers: Numbers) -> Emission:
    """The emissions, and their numbers and the data."""

    def function(s: Array, y: Array, *rest: Array) -> Array:
        one = lambda t, s, y: world.log_emission(t, s[None], y, *rest)
        return jax.vmap(one)(jnp.arange(len(s)), s, y)

    return Emission(function, (numbers.y, *numbers.log_emission))


def _slopes(emission: Emission, s: Array, order: int) -> list[Array]:
    """log p of every row and its derivatives in s; rows do not read each other's s."""
    f = lambda s: emission.function(s, *emission.numbers)
    found: list[Callable[[Array], Array]] = [f]
    for _ in range(order):
        last = found[-1]
        found.append(lambda s, last=last: jax.jvp(last, (s,), (jnp.ones_like(s),))[1])  # type: ignore[misc]
    return [g(s) for g in found]


@one_kernel
def _back(rows: Rows, a: Array, W: Array) -> tuple[Array, Array]:
    """xi and Pi of every row."""

    def body(later: tuple[Array, Array], row: tuple[Array, ...]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        xi, Pi = later
        F, c, q, a, W = row
        b = F / (1 + q * Pi)
        now = (a + b * (xi - Pi * c), W + b * F * Pi)
        return now, now

    last = (a[-1], W[-1])
    _, (xi, Pi) = jax.lax.scan(body, last, (rows.F, rows.c, rows.q, a[:-1], W[:-1]), reverse=True)
    return jnp.concatenate([xi, a[-1:]]), jnp.concatenate([Pi, W[-1:]])


@one_kernel
def _along(first: Array, slope: Array, offset: Array) -> Array:
    """x_0 = first, x_t = slope_t x_{t-1} + offset_t."""

    def body(x: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        x = row[0] * x + row[1]
        return x, x

    return jnp.concatenate([first[None], jax.lax.scan(body, first, (slope, offset))[1]])


def _solved(rows: Rows, a: Array, W: Array) -> Mode:
    """The maximum of the quadratic."""
    xi, Pi = _back(rows, a, W)
    J = 1 + jnp.concatenate([rows.P[None], rows.q]) * Pi
    start = (rows.m + rows.P * xi[0]) / J[0]
    s = _along(start, rows.F / J[1:], (rows.c + rows.q * xi[1:]) / J[1:])
    return Mode(s, xi - Pi * s, J, Pi)


SETTLED = 1e-6


def settles(gain: Array, before: Array, full: Array, enough: Array) -> Array:
    """Whether a Newton step that was promised `gain`, and its predecessor `before`, leaves nothing worth a further one.

    Gains of full steps near a maximum go down like g' = C g^2; the last two tell C, and so the next.
    """
    return full & (gain**3 <= SETTLED * enough * before**2)


class _State(NamedTuple):
    s: Array
    u: Array
    value: Array
    gain: Array
    settled: Array
    done: Array
    stuck: Array


def newton(rows: Rows, emission: Emission, iterations: int) -> tuple[Array, Array]:
    """s and u of the mode: see `_mode.newton`. NaN where it is not reached."""
    find = lambda rows, numbers: _newton(rows, Emission(emission.function, numbers), iterations)
    return one_kernel(find)(rows, emission.numbers)


def _newton(rows: Rows, emission: Emission, iterations: int) -> tuple[Array, Array]:
    spread = jnp.concatenate([rows.P[None], rows.q])
    eps = jnp.finfo(spread.dtype).eps
    enough = jnp.maximum(1e-12, 100 * len(spread) * eps**2)

    def value_of(s: Array, u: Array) -> Array:
        value = jnp.sum(_slopes(emission, s, 0)[0]) - 0.5 * jnp.sum(spread * u**2)
        return jnp.where(jnp.isnan(value), -jnp.inf, value)

    def iterate(now: _State) -> _State:
        _, b, H = _slopes(emission, now.s, 2)
        quadratic = lambda W: _solved(rows, b + W * now.s, W)
        new = quadratic(-H)
        exact = jnp.all(new.J > 0)
        new = jax.lax.cond(exact, lambda: new, lambda: quadratic(jnp.abs(H)))
        positive = jnp.all(new.J > 0)
        ds, du = new.s - now.s, new.u - now.u
        gain = jnp.sum(b * ds) - jnp.sum(spread * now.u * du)
        slack = 50 * eps * (1 + jnp.abs(now.value))
        short = lambda a, value: value < now.value + 1e-4 * a * gain - slack
        a, value, tries = jax.lax.while_loop(
            lambda c: positive & short(c[0], c[1]) & (c[2] <= HALVINGS),
            lambda c: (0.5 * c[0], value_of(now.s + 0.5 * c[0] * ds, now.u + 0.5 * c[0] * du), c[2] + 1),
            (jnp.full((), 2.0, eps.dtype), jnp.full((), -jnp.inf, eps.dtype), 0),
        )  # fmt: skip
        settled = settles(gain, now.gain, exact & (a == 1) & (now.done > 0), enough)
        a = jnp.where(positive, a, 0.0)
        keep = lambda old, move: jnp.where(positive, old + a * move, old)
        return _State(keep(now.s, ds), keep(now.u, du), jnp.where(positive, value, now.value),
                      jnp.where(positive, gain, jnp.inf), settled, now.done + 1, (tries > HALVINGS) | ~positive)

    s = _along(rows.m, rows.F, rows.c)
    u = jnp.zeros_like(s)
    no = jnp.zeros((), bool)
    start = _State(s, u, value_of(s, u), jnp.full((), jnp.inf, s.dtype), no, jnp.zeros((), int), no)
    going = lambda c: (c.gain > enough) & ~c.settled & (c.done < iterations) & ~c.stuck
    end = jax.lax.while_loop(going, iterate, start)
    good = (end.gain <= enough) | end.settled | (end.stuck & (end.gain <= jnp.sqrt(eps)))
    return jnp.where(good, end.s, jnp.nan), jnp.where(good, end.u, jnp.nan)


def noises(world: World, numbers: Numbers, iterations: int) -> Noises:
    """The mode as the numbers that drive the path."""
    rows, G0, G = rows_of(world, numbers)
    s, u = newton(rows, emission_of(world, numbers), iterations)
    # Not by u, a small difference of large numbers where the first law is wide.
    moves = rows.P > 0
    start = jnp.where(moves, (s[0] - rows.m) / jnp.where(moves, rows.P, 1.0), u[0])
    return Noises(G0 * start, (G * u[1:])[:, None])


@partial(jax.custom_vjp, nondiff_argnums=(0, 3))
def log_likelihood(function: Callable[..., Array], rows: Rows, numbers: Any, iterations: int) -> Float[Array, ""]:
    """Laplace's log-likelihood. Reverse mode and first order alone: for more differentiate that of `_mode`."""
    return _value(function, rows, numbers, iterations)[0]


def _value(function: Callable[..., Array], rows: Rows, numbers: Any, iterations: int) -> tuple[Array, tuple]:
    emission = Emission(function, numbers)
    s, _ = newton(rows, emission, iterations)
    f, b, H, third = _slopes(emission, s, 3)
    at = _solved(rows, b - H * s, -H)
    spread = jnp.concatenate([rows.P[None], rows.q])
    logs = jnp.log(jnp.where(at.J > 0, at.J, jnp.nan))
    value = jnp.sum(f) - 0.5 * jnp.sum(spread * at.u**2) - 0.5 * jnp.sum(logs)
    return value, (rows, numbers, at, third)


def _backwards(function: Callable[..., Array], iterations: int, kept: tuple, slope: Array) -> tuple:
    """With P_t the variance of s_t given all data, the determinant's slope in the path is P_t (log p)''' / 2; the mode
    answers to it by ds_t, whose costate is k_t. Then, for instance, c_t has the slope u_t + k_t."""
    del iterations
    rows, numbers, at, third = kept
    F, q = rows.F, rows.q
    Phi = F / at.J[1:]
    var = _along(rows.P / at.J[0], Phi**2, q / at.J[1:])
    still = rows._replace(m=jnp.zeros_like(rows.m), c=jnp.zeros_like(rows.c))
    # The same factors with another linear part: W is read off Pi, so that nothing is factored anew.
    W = jnp.concatenate([at.Pi[:-1] - Phi * F * at.Pi[1:], at.Pi[-1:]])
    moved = _solved(still, 0.5 * var * third, W)
    s, u, ds, k = at.s, at.u, moved.s, moved.u
    through = at.Pi[1:] * Phi * var[:-1]
    squares = u**2 + 2 * u * k - at.Pi / at.J
    found = Rows(
        m=u[0] + k[0],
        P=0.5 * squares[0],
        F=u[1:] * (s + ds)[:-1] + k[1:] * s[:-1] - through,
        c=(u + k)[1:],
        q=0.5 * (squares[1:] + at.Pi[1:] * Phi * through),
    )

    def frozen(numbers: Any) -> Array:
        f, b, H = _slopes(Emission(function, numbers), s, 2)
        return jnp.sum(f + ds * b + 0.5 * var * H)

    _, pull = jax.vjp(frozen, numbers)
    return jax.tree.map(lambda a: slope * a, found), jax.tree.map(lambda a: slope * a, pull(jnp.ones_like(slope))[0])


log_likelihood.defvjp(_value, _backwards)
