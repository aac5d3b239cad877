"""A path of a general program, and the quadratic that its joint density looks like near that path.

The unknowns are the standard normal numbers e_0, e_1, ..., e_{T-1} that drive the program (see `nonlinear`): their
prior is exactly N(0, I), whatever rank the states' noise has and however deep the memory is. With the path s(e) the log
joint density is

    phi(e) = sum_t log p(y_t | s_t(e)) - 1/2 sum_t |e_t|^2 - (number of noises)/2 log 2 pi  (constant left out),

and its second-order expansion is a linear-quadratic control problem: rows of F = ds_t/ds_{t-1}, G = ds_t/de_t, the
gradient b and the negative Hessian W of log p(y_t | .), and, where the transition bends, the negative second
derivatives C of lambda_t' f_t(s_{t-1}, e_t), lambda_t = d phi / d s_t being the costate (Pantoja 1988; Dunn & Bertsekas
1989). With C it is the exact Hessian, without it that of Gauss and Newton.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ssmlang.engines._elementwise import elementwise
from ssmlang.engines._hoisted import hoisted
from ssmlang.engines._kernel import one_kernel
from ssmlang.engines._products import FUSED_LIMIT, times
from ssmlang.engines.nonlinear import Facts, Nonlinear
from ssmlang.engines.semidefinite import positive_part


class Noises(NamedTuple):
    """The numbers that drive a path."""

    first: Float[Array, " r0"]
    later: Float[Array, "T-1 r"]


class World(NamedTuple):
    """A program's functions with the numbers that they close over as arguments: static, and free of tracers."""

    facts: Facts
    first: Callable[..., Array]
    transition: Callable[..., Array]
    log_emission: Callable[..., Array]


class Numbers(NamedTuple):
    """What the functions of a `World` close over, and the data."""

    first: Any
    transition: Any
    log_emission: Any
    y: Float[Array, "T m"]


class Path(NamedTuple):
    """Noises and the memories that they give."""

    e: Noises
    s: Float[Array, "T N"]


class Expansion(NamedTuple):
    """The quadratic near a path; C0 and C are None where Gauss and Newton's Hessian is meant."""

    G0: Float[Array, "N r0"]
    F: Float[Array, "T-1 N N"]
    G: Float[Array, "T-1 N r"]
    b: Float[Array, "T N"]
    W: Float[Array, "T N N"]
    C0: Float[Array, "r0 r0"] | None = None
    C: Float[Array, "T-1 N+r N+r"] | None = None


def bent(facts: Facts) -> bool:
    """Whether the density of a path may have modes apart: what moves states bends, or what sees them otherwise than
    through the one hump that counts, categories and scales give."""
    curved = facts.gaussian_emission and facts.steady_emission and not facts.linear_emission
    return not facts.linear or curved or (facts.k > facts.m and not facts.counts)


def open_up(program: Nonlinear, y: Float[Array, "T m"]) -> tuple[World, Numbers]:
    """The program's functions apart from their numbers."""
    f = program.facts
    begun, moving, seen = (jnp.zeros(f.first_noises),), row_of(f), (*row_of(f)[:2], y[0])
    first, a = jax.closure_convert(hoisted(program.first, *begun), *begun)
    moved = elementwise(hoisted(program.transition, *moving), f.N <= FUSED_LIMIT)
    transition, b = jax.closure_convert(moved, *moving)
    log_emission, c = jax.closure_convert(hoisted(program.log_emission, *seen), *seen)
    return World(f, first, transition, log_emission), Numbers(tuple(a), tuple(b), tuple(c), y)


def row_of(facts: Facts) -> tuple[Array, Array, Array]:
    """t, s and e as a transition takes them."""
    return jnp.asarray(1), jnp.zeros(facts.N), jnp.zeros(facts.noises)


def still(world: World, steps: int) -> Noises:
    """No noise at all."""
    return Noises(jnp.zeros(world.facts.first_noises), jnp.zeros((steps - 1, world.facts.noises)))


def rollout(world: World, numbers: Numbers, e: Noises) -> Float[Array, "T N"]:
    """The memories that noises give."""

    def run(start: Array, later: Array, numbers: Any) -> Array:
        def body(s: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
            t, e = row
            s = world.transition(t, s, e, *numbers)
            return s, s

        return jax.lax.scan(body, start, (jnp.arange(1, len(later) + 1), later))[1]

    start = world.first(e.first, *numbers.first)
    rest = one_kernel(run, world.facts.N <= FUSED_LIMIT)(start, e.later, numbers.transition)
    return jnp.concatenate([start[None], rest])


def log_emissions(world: World, numbers: Numbers, s: Float[Array, "T N"]) -> Float[Array, " T"]:
    """log p(y_t | s_t) of every row."""
    one = lambda t, s, y: world.log_emission(t, s, y, *numbers.log_emission)
    return jax.vmap(one)(jnp.arange(len(s)), s, numbers.y)


def log_joint(world: World, numbers: Numbers, path: Path) -> Float[Array, " T"]:
    """phi, row by row."""
    own = jnp.concatenate([jnp.sum(path.e.first**2)[None], jnp.sum(path.e.later**2, axis=1)])
    return log_emissions(world, numbers, path.s) - 0.5 * own


def motion(world: World, numbers: Numbers, path: Path) -> tuple[Array, Array, Array]:
    """G0, F and G along a path."""
    t = jnp.arange(1, len(path.s))
    G0 = jax.jacfwd(lambda e: world.first(e, *numbers.first))(path.e.first)
    step = lambda t, s, e: world.transition(t, s, e, *numbers.transition)
    F, G = jax.vmap(jax.jacfwd(step, argnums=(1, 2)))(t, path.s[:-1], path.e.later)
    return G0, F, G


def slopes(world: World, numbers: Numbers, s: Float[Array, "T N"]) -> tuple[Array, Array]:
    """b and W: gradient and negative Hessian of log p(y_t | .) in every row."""
    one = lambda t, s, y: world.log_emission(t, s, y, *numbers.log_emission)

    def both(t: Array, s: Array, y: Array) -> tuple[Array, Array]:
        gradient = jax.grad(one, argnums=1)
        value, push = jax.linearize(lambda s: gradient(t, s, y), s)
        return value, -jax.vmap(push)(jnp.eye(len(s)))

    b, W = jax.vmap(both)(jnp.arange(len(s)), s, numbers.y)
    return b, 0.5 * (W + jnp.swapaxes(W, 1, 2))


def costates(b: Float[Array, "T N"], F: Float[Array, "T-1 N N"]) -> Float[Array, "T N"]:
    """lambda_t = b_t + F_{t+1}' lambda_{t+1}."""

    small = b.shape[1] <= FUSED_LIMIT

    def run(b: Array, F: Array) -> Array:
        def back(later: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
            b, F = row
            now = b + times(F.T, later, small)
            return now, now

        return jax.lax.scan(back, b[-1], (b[:-1], F), reverse=True)[1]

    return jnp.concatenate([one_kernel(run, small)(b, F), b[-1:]])


def bends(world: World, numbers: Numbers, path: Path, costate: Float[Array, "T N"]) -> tuple[Array, Array]:
    """C0 and C."""
    N = world.facts.N
    t = jnp.arange(1, len(path.s))
    C0 = -jax.hessian(lambda e: costate[0] @ world.first(e, *numbers.first))(path.e.first)

    def one(t: Array, s: Array, e: Array, weight: Array) -> Array:
        f = lambda z: weight @ world.transition(t, z[:N], z[N:], *numbers.transition)
        return -jax.hessian(f)(jnp.concatenate([s, e]))

    return C0, jax.vmap(one)(t, path.s[:-1], path.e.later, costate[1:])


def expand(world: World, numbers: Numbers, path: Path, moved: tuple[Array, Array, Array] | None = None) -> Expansion:
    """The exact second-order expansion; `moved`: G0, F and G where they are at hand."""
    G0, F, G = motion(world, numbers, path) if moved is None else moved
    b, W = slopes(world, numbers, path.s)
    if world.facts.linear:
        return Expansion(G0, F, G, b, W)
    return Expansion(G0, F, G, b, W, *bends(world, numbers, path, costates(b, F)))


def tamed(x: Expansion) -> Expansion:
    """The nearest expansion that is sure to have a maximum: W without its negative part, and no C."""
    return x._replace(W=positive_part(x.W), C0=None, C=None)
