"""The Gaussian approximation over the whole of where the states are likely to be, in place of that at their mode.

In every row log p(y_t | s) is replaced by the quadratic nearest to it in the mean square under the approximation's
own law of s_t: its gradient and Hessian are the means of those of log p(y_t | s) there (Stein). The fixed point is
the Gaussian law nearest to the posterior in Kullback & Leibler's sense (Opper & Archambeau 2009), and what Koopman,
Lit & Nguyen (2015) reach by numerical integration without weights; paths drawn from it weigh more alike than those
around the mode.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from ssmlang.engines import _riccati as riccati
from ssmlang.engines._expansion import Expansion, Noises, Numbers, Path, World, log_joint, slopes, tamed
from ssmlang.engines._gaussian_means import rule
from ssmlang.engines._mode import Fit
from ssmlang.engines.semidefinite import semidefinite_root


def refined(world: World, numbers: Numbers, at: Fit, rounds: int) -> Fit:
    """The approximation after so many rounds, of a program whose states move linearly. The fields of the result are
    those of the expansion at its own centre, of its own quadratics."""
    points, weights = rule(world.facts.N)

    def again(now: Fit, _: None) -> tuple[Fit, None]:
        root = jax.vmap(semidefinite_root)(riccati.covariances(now.x, now.f))

        def add(total: tuple[Array, Array], point: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
            u, weight = point
            b, W = slopes(world, numbers, now.path.s + root @ u)
            return (total[0] + weight * b, total[1] + weight * W), None

        nothing = (jnp.zeros_like(now.x.b), jnp.zeros_like(now.x.W))
        at_points = (jnp.asarray(points, now.x.b.dtype), jnp.asarray(weights, now.x.b.dtype))
        (b, W), _ = jax.lax.scan(add, nothing, at_points)
        return _centred(world, numbers, now, tamed(now.x._replace(b=b, W=W))), None

    return jax.lax.scan(again, at, None, length=rounds)[0]


def _centred(world: World, numbers: Numbers, now: Fit, x: Expansion) -> Fit:
    """The posterior under quadratics given about the path as it is."""
    f = riccati.factor(x)
    e = now.path.e
    de, ds = riccati.carry_out(x, f, riccati.solve(x, f, x.b, Noises(-e.first, -e.later)))
    path = Path(Noises(e.first + de.first, e.later + de.later), now.path.s + ds)
    x = x._replace(b=x.b - jnp.einsum("tij,tj->ti", x.W, ds))
    return Fit(path, x, f, log_joint(world, numbers, path))


def b_type(now: Fit) -> jnp.dtype:
    return now.x.b.dtype
