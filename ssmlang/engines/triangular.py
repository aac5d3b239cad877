"""Triangular factors of Gramians, differentiable at every rank.

tria(M) is a lower-trapezoidal L with L L' = M M'. The usual derivative of a QR factorisation divides by L and is
undefined where M loses rank, although M M' is smooth there. What is differentiated here is the Gramian: any dL with

    dL L' + L dL' = dM M' + M dM'                                                                             (6)

gives the exact derivative of every function of L L' (Corenflos 2026, "Robust automatic differentiation of square-root
Kalman filters via Gramian differentials", arXiv 2603.13559, Lemma 1 and Proposition 1).

Two things to know of it. Where M has not full row rank no such dL is lower triangular in general: code that reads one
triangle of L, solves with it or takes the logarithms of its diagonal then gets a wrong derivative without a warning.
And (6) holds for any matrix in the place of the pseudo-inverse, so its tolerance changes the entries of dL, and no
derivative of a function of the Gramian.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Rule = Literal["column_space", "constant", "free"]


def tria(M: Float[Array, "n q"], rule: Rule = "column_space") -> Float[Array, "n k"]:
    """A lower-trapezoidal L, k = min(n, q), with L L' = M M', for M of any shape and rank, zero included.

    By a QR factorisation M' = Q L'; signs are LAPACK's. With L^+ the pseudo-inverse, P = L L^+ and
    Phi(X) = tril(X) - diag(X)/2 the derivative is, by `rule`:

    - "column_space": L Phi(K + K') + (I - P) dM Q with K = L^+ dM Q: equations (9) and (11) of the paper. Lower
      triangular, and the derivative of L itself up to signs, where M has full row rank.
    - "constant": dM Q, as if Q were constant: no inverse, for uses through L L' alone.
    - "free": L Phi(K + K') + (I - P) dM M' (L^+)' with K = L^+ dM M' (L^+)': free of Q, so that it can be
      differentiated again; exact to any order where the rank does not change nearby. Worse conditioned.

    A second derivative under the first two raises NotImplementedError. ValueError for another rule or shape.
    """
    if rule not in ("column_space", "constant", "free"):
        raise ValueError(f"rule={rule!r}: one of 'column_space', 'constant', 'free'")
    if M.ndim != 2:
        raise ValueError(f"a matrix is needed, not an array of shape {M.shape}: use jax.vmap for several")
    if 0 in M.shape:
        return jnp.zeros((M.shape[0], 0), M.dtype)
    return _tria(M, rule)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _tria(M: Float[Array, "n q"], rule: Rule) -> Float[Array, "n k"]:
    return _factors(M)[0]


@_tria.defjvp
def _differential(rule: Rule, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (M,), (dM,) = primals, tangents
    if rule == "free":
        L = _tria(M, rule)
        inverse = jnp.linalg.pinv(L)
        moved = dM @ (M.T @ inverse.T)
    else:
        L, Q = _final(_factors(M))
        moved = dM @ Q
        if rule == "constant":
            return L, moved
        inverse = jnp.linalg.pinv(L)
    K = inverse @ moved
    K = K + K.T
    return L, L @ (jnp.tril(K) - 0.5 * jnp.diag(jnp.diagonal(K))) + moved - L @ (inverse @ moved)


def _factors(M: Float[Array, "n q"]) -> tuple[Float[Array, "n k"], Float[Array, "q k"]]:
    """L and Q of M = L Q', L exactly lower trapezoidal."""
    Q, R = jnp.linalg.qr(M.T)
    return R.T, Q


@jax.custom_jvp
def _final(factors: Any) -> Any:
    """The same, not to be differentiated: Q has no derivative where rank is lost, and a wrong one elsewhere."""
    return factors


@_final.defjvp
def _no_second(primals: Any, tangents: Any) -> Any:
    raise NotImplementedError("second derivatives of tria need rule='free'")
