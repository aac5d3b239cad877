"""What a stretch of rows says, as an element that composes: the filter as an associative operation.

An element stands for rows i+1..j: the law of s_j given s_i and their observations, and what those say of s_i,

    s_j = A s_i + b + U e,  e ~ N(0, I);        log p(y | s_i) = eta' s_i - |Z' s_i|^2 / 2 + constant.

Sarkka & Garcia-Fernandez (2021), in the square-root form of Yaghoobi, Corenflos, Hassan & Sarkka (2025). Three kinds
of it are told apart, for what is not there need not be computed: an `Element` between two rows; a `Law`, which begins
with the flat coefficients of the initial law in place of s_i; and `Sight`, which nothing follows.

`b` and `eta` have a column for each of several series with the same matrices and missing entries. All arrays have the
rows of the series last.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from ssmlang.engines._rotations import below, beside, compress, condition, identity, product, square, transposed


class Sight(NamedTuple):
    """What later observations say of s_i."""

    eta: Float[Array, "N K *T"]
    Z: Float[Array, "N N *T"]


class Element(NamedTuple):
    """Rows i+1..j between s_i and s_j."""

    A: Float[Array, "N N *T"]
    b: Float[Array, "N K *T"]
    U: Float[Array, "N N *T"]
    eta: Float[Array, "N K *T"]
    Z: Float[Array, "N N *T"]


class Law(NamedTuple):
    """Rows 0..j: s_j = D delta + m + U e given what was observed, and what that says of the flat delta."""

    D: Float[Array, "N d *T"]
    m: Float[Array, "N K *T"]
    U: Float[Array, "N N *T"]
    eta: Float[Array, "d K *T"]
    Z: Float[Array, "d d *T"]

    def element(self) -> Element:
        """The same with N coefficients, d of them in use."""
        N, d = self.D.shape[:2]
        pad = lambda a, *extra: jnp.pad(a, [(0, e) for e in extra] + [(0, 0)] * (self.m.ndim - 2))
        return Element(pad(self.D, 0, N - d), self.m, self.U, pad(self.eta, N - d, 0), pad(self.Z, N - d, N - d))


class Meeting(NamedTuple):
    """s_i = D s + m + U e when a later stretch has been seen: e is renewed, and s is seen through."""

    gain: Float[Array, "N N *T"]
    """I - C J (I + C J)^{-1} with C = U U', J = Z Z': takes s_i given its past to s_i given all"""
    surprise: Float[Array, "N K *T"]
    """eta - J m"""
    U: Float[Array, "N N *T"]
    Z: Float[Array, "N N *T"]
    """of what is seen of s_i beyond its own noise"""


def meet(m: Float[Array, "N K *T"], U: Float[Array, "N N *T"], seen: Element | Sight) -> Meeting:
    """s = m + U e meets what later rows say of it: as if w = Z' s + noise had been seen."""
    N = U.shape[0]
    Zt = transposed(seen.Z)
    eye = identity(N, U)
    noise = beside(product(Zt, U), eye)
    zero = jnp.zeros((N, N), U.dtype)
    found = condition(noise, below(beside(U, zero), beside(zero, seen.Z)), jnp.zeros((N, 0, *noise.shape[2:]), U.dtype))
    along, through = found.along[:N], found.along[N:]
    gain = eye.reshape(N, N, *(1,) * (along.ndim - 2)) - product(along, transposed(through))
    return Meeting(gain, seen.eta - product(seen.Z, product(Zt, m)), found.left[:N], through)


def join(left: Element, right: Element) -> Element:
    """The element of two stretches, one after the other. No matrix is inverted, none needs full rank."""
    met = meet(left.b, left.U, right)
    b = product(right.A, left.b + product(square(met.U), met.surprise)) + right.b
    through = product(met.gain, left.A)
    U, Z = _compressed(beside(product(right.A, met.U), right.U), beside(product(transposed(left.A), met.Z), left.Z))
    eta = left.eta + product(transposed(through), met.surprise)
    return Element(product(right.A, through), b, U, eta, Z)


def advance(past: Element, right: Element, d: int) -> Law:
    """The law after one more stretch, `past` being that of a law with d coefficients in use."""
    met = meet(past.b, past.U, right)
    m = product(right.A, past.b + product(square(met.U), met.surprise)) + right.b
    U = compress(beside(product(right.A, met.U), right.U))
    D = product(met.gain, past.A[:, :d])
    if not d:
        return Law(D, m, U, past.eta[:d], past.Z[:d, :d])
    Z = compress(beside(product(transposed(past.A[:, :d]), met.Z), past.Z[:d, :d]))
    return Law(product(right.A, D), m, U, past.eta[:d] + product(transposed(D), met.surprise), Z)


def look_back(left: Element, seen: Element) -> Sight:
    """What a stretch and all that follows it say of the row before it."""
    met = meet(left.b, left.U, seen)
    back = transposed(product(met.gain, left.A))
    Z = compress(beside(product(transposed(left.A), met.Z), left.Z))
    return Sight(left.eta + product(back, met.surprise), Z)


def look_ahead(law: Law, seen: Sight) -> Law:
    """The law of the same row given what was seen of it later; what that says of delta is left out."""
    met = meet(law.m, law.U, seen)
    m = law.m + product(square(met.U), met.surprise)
    return law._replace(D=product(met.gain, law.D), m=m, U=met.U)


def _compressed(first: Float[Array, "N k *T"], second: Float[Array, "N k *T"]) -> tuple[Array, Array]:
    """Two of the same size at once."""
    both = compress(jnp.stack(jnp.broadcast_arrays(first, second), axis=-1))
    return both[..., 0], both[..., 1]


def nothing(N: int, K: int, like: Array) -> Element:
    """The element of no rows."""
    zero = lambda k: jnp.zeros((N, k), like.dtype)
    return Element(identity(N, like), zero(K), zero(N), zero(K), zero(N))
