"""Random numbers from counters: cheap where thousands are wanted in every row.

JAX's generator is a loop of rounds over whole arrays on a CPU, several times the cost of all else that a particle
filter does. Here the bits of number i are a hash of i and of a key that JAX's generator gave, in one pass: Wellons'
three-round mixer of 32 bits (`triple32`), with half of the key before its rounds and half between them.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt32

Words = UInt32[Array, "*batch 2"]


def words(keys: Key[Array, "*batch"]) -> Words:
    """What counters are hashed with, from each of some keys."""
    return jax.vmap(lambda key: jax.random.bits(key, (2,), jnp.uint32))(keys) if keys.ndim else jax.random.bits(
        keys, (2,), jnp.uint32)  # fmt: skip


def bits(key: Words, *shape: int) -> UInt32[Array, "*shape"]:
    """Words of 32 random bits."""
    u = np.uint32
    x = jax.lax.iota(jnp.uint32, int(np.prod(shape))).reshape(shape) + key[0]
    x = (x ^ (x >> u(17))) * u(0xED5AD4BB)
    x = (x ^ (x >> u(11)) ^ key[1]) * u(0xAC4C1B51)
    x = (x ^ (x >> u(15))) * u(0x31848BAB)
    return x ^ (x >> u(14))


def normals(key: Words, *shape: int) -> Float[Array, "*shape"]:
    """Standard normal numbers from 24 random bits, within 4e-7 of their quantiles (2e-5 in the tails of single
    precision): far below what particles can tell.

    In double precision by operations that round alike wherever XLA puts them: its single-precision `erf_inv` differs in
    the last digits between two programs, and with it a stream from the filter of the same seed.
    """
    # 24 bits about zero, never at the ends: (-1, 1) in steps of 2^-23.
    whole = bits(key, *shape).astype(jnp.int32) >> 8
    if jax.dtypes.canonicalize_dtype(float) != np.float64:
        return np.float32(np.sqrt(2.0)) * jax.lax.erf_inv((whole.astype(float) + 0.5) * 2.0**-23)
    u = (whole.astype(float) + 0.5) * 2.0**-23
    w = -_log((1 - u) * (1 + u))
    near = w < 5
    far = jnp.sqrt(jnp.where(near, 9.0, w)) - 3
    return np.sqrt(2.0) * u * jnp.where(near, _polynomial(_NEAR, w - 2.5), _polynomial(_FAR, far))


# erf_inv(u) / u in w = -log(1 - u^2), about 2.5, and in its root, about 3: Giles (2010), single precision.
_NEAR = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
         -0.00417768164, 0.246640727, 1.50140941)  # fmt: skip
_FAR = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
        1.00167406, 2.83297682)  # fmt: skip
_ROOT_HALF = np.float64(np.sqrt(0.5)).view(np.int64)


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    """The highest power first."""
    value: Array | float = coefficients[0]
    for c in coefficients[1:]:
        value = value * x + c
    return value  # type: ignore[return-value]


def _log(v: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """log v of positive doubles within 1e-9: of the power of two and, by its series in (m - 1) / (m + 1), of what is
    left between the roots of 1/2 and 2. A third of the time of XLA's."""
    raw = jax.lax.bitcast_convert_type(v, jnp.int64) - _ROOT_HALF
    m = jax.lax.bitcast_convert_type((raw & np.int64(2**52 - 1)) + _ROOT_HALF, jnp.float64)
    s = (m - 1) / (m + 1)
    return (raw >> 52).astype(float) * np.log(2.0) + 2 * s * _polynomial((1 / 9, 1 / 7, 1 / 5, 1 / 3, 1.0), s * s)


def uniforms(key: Words, *shape: int) -> Float[Array, "*shape"]:
    """Numbers between 0 and 1, neither included."""
    return ((bits(key, *shape) >> np.uint32(8)).astype(jnp.float32) + np.float32(0.5)).astype(float) * 2.0**-24


def each_row(key: Key[Array, ""], t: Int[Array, " T"]) -> UInt32[Array, "T 3 2"]:
    """Three keys, as words, for each row: hashes of its number. A tree of JAX's keys would be half of what a particle
    filter takes to compile."""
    first, second = words(key)
    whole = jax.vmap(lambda t: bits(jnp.stack([first + t.astype(jnp.uint32) * np.uint32(6), second]), 3, 2))
    return whole(t)
