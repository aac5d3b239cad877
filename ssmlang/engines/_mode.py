"""The mode of a path given all data, by Newton's method with a line search, and its derivative in the parameters."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from ssmlang.engines import _riccati as riccati
from ssmlang.engines import _scalar_mode as scalar
from ssmlang.engines._expansion import (
    Expansion,
    Noises,
    Numbers,
    Path,
    World,
    bent,
    expand,
    log_joint,
    motion,
    rollout,
    still,
)
from ssmlang.engines._kernel import one_kernel
from ssmlang.engines._products import FUSED_LIMIT, times
from ssmlang.engines._shadow import shadow
from ssmlang.engines.semidefinite import positive_part

HALVINGS = 40
ARMIJO = 1e-4


class _State(NamedTuple):
    path: Path
    value: Float[Array, ""]
    gain: Float[Array, ""]
    """what the last step was promised to gain, doubled"""
    settled: Bool[Array, ""]
    done: Int[Array, ""]
    stuck: Bool[Array, ""]


def newton(world: World, numbers: Numbers, iterations: int) -> Noises:
    """The maximum of the joint density over the noises; NaN where `iterations` steps do not reach it.

    Steps are those of the exact Hessian where it is negative definite, else of one whose wrong-signed part is turned
    round (Dauphin et al. 2014), and are halved until the density grows as it should: it never falls. In the tails of
    Student's t such a step leads to the observation; without that part it would go far beyond it.
    """
    if scalar.fits(world):
        return scalar.noises(world, numbers, iterations)
    linear = world.facts.linear
    begun = _begun(world, numbers)
    s = begun.s[0]
    moved = motion(world, numbers, jax.tree.map(lambda a: a[0], begun)) if linear else None
    eps = jnp.finfo(s.dtype).eps
    enough = jnp.maximum(1e-12, 100 * s.size * eps**2).astype(s.dtype)

    def iterate(now: _State) -> _State:
        path = now.path
        x = expand(world, numbers, path, moved)
        f = riccati.factor(x)
        exact = riccati.is_positive(f)
        x, f = jax.lax.cond(exact, lambda: (x, f), lambda: _turned(x))
        positive = riccati.is_positive(f)
        step = riccati.solve(x, f, x.b, Noises(-path.e.first, -path.e.later))
        if linear:
            de, ds = riccati.carry_out(x, f, step)

        def moved_by(a: Array) -> Path:
            if linear:
                return Path(Noises(path.e.first + a * de.first, path.e.later + a * de.later), path.s + a * ds)
            return _followed(world, numbers, path, f, step, a)

        slack = 50 * eps * (1 + jnp.abs(now.value))
        short = lambda a, value: ~(value >= now.value + ARMIJO * a * step.gain - slack)

        def halve(c: tuple) -> tuple:
            a, _, _, tries = c
            new = moved_by(0.5 * a)
            return 0.5 * a, new, jnp.sum(log_joint(world, numbers, new)), tries + 1

        a, new, value, tries = jax.lax.while_loop(
            lambda c: positive & short(c[0], c[2]) & (c[3] <= HALVINGS), halve,
            (jnp.full((), 2.0, s.dtype), path, jnp.full((), -jnp.inf, s.dtype), 0),
        )  # fmt: skip
        # A line along which nothing gains leaves the path where it is.
        new = jax.tree.map(lambda a, b: jnp.where(jnp.isfinite(value), a, b), new, path)
        return _State(new, jnp.where(jnp.isfinite(value), value, now.value), jnp.where(positive, step.gain, jnp.inf),
                      scalar.settles(step.gain, now.gain, exact & (a == 1) & (now.done > 0), enough),
                      now.done + 1, (tries > HALVINGS) | ~positive)  # fmt: skip

    going = lambda c: (c.gain > enough) & ~c.settled & (c.done < iterations) & ~c.stuck

    def search(begun: Path) -> tuple[Noises, Float[Array, ""]]:
        start = _State(begun, jnp.sum(log_joint(world, numbers, begun)), jnp.full((), jnp.inf, s.dtype),
                       jnp.zeros((), bool), jnp.zeros((), int), jnp.zeros((), bool))  # fmt: skip
        end = jax.lax.while_loop(going, iterate, start)
        # A step that rounding alone keeps from gaining is the last one.
        good = (end.gain <= enough) | end.settled | (end.stuck & (end.gain <= jnp.sqrt(eps)))
        return jax.tree.map(lambda a: jnp.where(good, a, jnp.nan), end.path.e), jnp.where(good, end.value, -jnp.inf)

    if len(begun.s) == 1:
        return search(jax.tree.map(lambda a: a[0], begun))[0]
    found, values = jax.lax.map(search, begun)
    return jax.tree.map(lambda a: a[jnp.argmax(values)], found)


def _begun(world: World, numbers: Numbers) -> Path:
    """Where the search begins, one or two paths: the path without noise, and one near the data where the first may lie
    beyond another mode. Of these the one of higher density; both where states move linearly and a search is quick, for
    the higher start need not lead to the higher mode."""
    e = still(world, len(numbers.y))
    plain = Path(e, rollout(world, numbers, e))
    if not bent(world.facts):
        return jax.tree.map(lambda a: a[None], plain)
    both = jax.tree.map(lambda a, b: jnp.stack([a, b]), plain, shadow(world, numbers))
    if world.facts.linear:
        return both
    plain_value, value = jax.vmap(lambda p: jnp.sum(log_joint(world, numbers, p)))(both)
    better = jnp.where((value > plain_value) | ~jnp.isfinite(plain_value), 1, 0)
    return jax.tree.map(lambda a: a[better][None], both)


def _turned(x: Expansion) -> tuple[Expansion, riccati.Factor]:
    """An expansion that is sure to have a maximum: W with the sizes of its eigenvalues, and a C of zeros."""
    flat = {} if x.C is None or x.C0 is None else {"C0": jnp.zeros_like(x.C0), "C": jnp.zeros_like(x.C)}
    turned = x._replace(W=2 * positive_part(x.W) - x.W, **flat)
    return turned, riccati.factor(turned)


def _followed(world: World, numbers: Numbers, path: Path, f: riccati.Factor, step: riccati.Step, a: Array) -> Path:
    """The path after a share `a` of a step, later noises answering to how the memory has moved."""
    e0 = path.e.first + a * step.first
    small = world.facts.N <= FUSED_LIMIT

    def run(start: Array, a: Array, rows: tuple[Array, ...], numbers: Any) -> tuple[Array, Array]:
        def on(s: Array, row: tuple[Array, ...]) -> tuple[Array, tuple[Array, Array]]:
            t, old, e, k, K = row
            e = e + a * k - times(K, s - old, small)
            s = world.transition(t, s, e, *numbers)
            return s, (e, s)

        return jax.lax.scan(on, start, rows)[1]

    start = world.first(e0, *numbers.first)
    rows = (jnp.arange(1, len(path.s)), path.s[:-1], path.e.later, step.later, f.K)
    e, s = one_kernel(run, small)(start, a, rows, numbers.transition)
    return Path(Noises(e0, e), jnp.concatenate([start[None], s]))


@partial(jax.custom_jvp, nondiff_argnums=(0, 2))
def mode(world: World, numbers: Numbers, iterations: int) -> Noises:
    """The noises of the most probable path. Its derivative is exact, of any order and in either mode: the mode moves by
    H^-1 d(gradient), H being the negative Hessian there."""
    return newton(world, numbers, iterations)


@mode.defjvp
def _mode_rule(world: World, iterations: int, primals: tuple, tangents: tuple) -> tuple[Noises, Noises]:
    (numbers,), (change,) = primals, tangents
    e = mode(world, numbers, iterations)

    def gradient(numbers: Numbers) -> Noises:
        def total(e: Noises) -> Array:
            return jnp.sum(log_joint(world, numbers, Path(e, rollout(world, numbers, e))))

        return jax.grad(total)(e)

    _, moved = jax.jvp(gradient, (numbers,), (change,))
    path = Path(e, rollout(world, numbers, e))
    x = expand(world, numbers, path)
    f = riccati.factor(x)
    step = riccati.solve(x, f, jnp.zeros_like(x.b), moved, tangent=True)
    return e, riccati.carry_out(x, f, step, tangent=True)[0]


class Fit(NamedTuple):
    """The mode and what the joint density looks like there."""

    path: Path
    x: Expansion
    f: riccati.Factor
    joint: Float[Array, " T"]


def fit(world: World, numbers: Numbers, iterations: int) -> Fit:
    """The Gaussian approximation at the mode, a differentiable function of the numbers."""
    e = mode(world, numbers, iterations)
    path = Path(e, rollout(world, numbers, e))
    x = expand(world, numbers, path)
    return Fit(path, x, riccati.factor(x), log_joint(world, numbers, path))

