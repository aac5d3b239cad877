"""The stationary region of an autoregression's coefficients, and its map from and to unconstrained vectors.

With r_1..r_p in (-1, 1) the partial autocorrelations, the Durbin-Levinson recursion

    phi^(k)_j = phi^(k-1)_j - r_k phi^(k-1)_{k-j},   phi^(k)_k = r_k,       k = 1..p

maps the open cube one to one on the coefficients of the stationary autoregressions of order p (Barndorff-Nielsen and
Schou 1973, J. Multivar. Anal. 3; Monahan 1984, Biometrika 71). Step k is linear in phi^(k-1) with determinant
prod over the eigenvalues of I - r_k J, J the reversal of k - 1 entries: (1 + r)^floor((k-1)/2) (1 - r)^ceil((k-1)/2).
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float


def coefficients(partial: Float[Array, "*batch p"]) -> Float[Array, "*batch p"]:
    """The coefficients phi of the autoregression whose partial autocorrelations are given."""
    phi = partial[..., :1]
    for k in range(1, partial.shape[-1]):
        r = partial[..., k : k + 1]
        phi = jnp.concatenate([phi - r * phi[..., ::-1], r], axis=-1)
    return phi


def partial_autocorrelations(phi: Float[Array, "*batch p"]) -> Float[Array, "*batch p"]:
    """The inverse of `coefficients`; some entry is outside (-1, 1), or is NaN, if and only if phi is not stationary."""
    found = []
    for k in range(phi.shape[-1], 0, -1):
        r = phi[..., k - 1 : k]
        found.append(r)
        rest = phi[..., : k - 1]
        phi = (rest + r * rest[..., ::-1]) / (1 - r * r)
    return jnp.concatenate(found[::-1], axis=-1)


def is_stationary(phi: Float[Array, "*batch p"]) -> Bool[Array, "*batch"]:
    """Whether all roots of 1 - phi_1 z - ... - phi_p z^p lie outside the unit circle."""
    return jnp.all(jnp.abs(partial_autocorrelations(phi)) < 1, axis=-1)


def constrain(z: Float[Array, "*batch p"]) -> tuple[Float[Array, "*batch p"], Float[Array, "*batch"]]:
    """Coefficients from any real vector (partial autocorrelations tanh(z)), with log |d phi / d z|."""
    partial = jnp.tanh(z)
    # log(1 - tanh^2) = 2 (log 2 - z - softplus(-2 z)), exact where tanh rounds to one.
    log_slope = 2 * (jnp.log(2.0) - z - jnp.logaddexp(0.0, -2 * z))
    log_one_minus, log_one_plus = jnp.log(2.0) - jnp.logaddexp(0.0, 2 * z), jnp.log(2.0) - jnp.logaddexp(0.0, -2 * z)
    k = jnp.arange(z.shape[-1])
    inner = (k // 2) * log_one_plus + ((k + 1) // 2) * log_one_minus
    return coefficients(partial), jnp.sum(log_slope + inner, axis=-1)


def unconstrain(phi: Float[Array, "*batch p"]) -> Float[Array, "*batch p"]:
    """The inverse of `constrain`; NaN where phi is not stationary."""
    return jnp.arctanh(partial_autocorrelations(phi))
