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
    """Standard normal numbers, made in single precision whatever that of the computation: their rounding is far below
    what particles can tell."""
    # 24 bits about zero, never at the ends: (-1, 1) in steps of 2^-23.
    u = ((bits(key, *shape).astype(jnp.int32) >> 8).astype(jnp.float32) + np.float32(0.5)) * np.float32(2.0**-23)
    return (np.float32(np.sqrt(2.0)) * jax.lax.erf_inv(u)).astype(float)


def uniforms(key: Words, *shape: int) -> Float[Array, "*shape"]:
    """Numbers between 0 and 1, neither included."""
    return ((bits(key, *shape) >> np.uint32(8)).astype(jnp.float32) + np.float32(0.5)).astype(float) * 2.0**-24


def each_row(key: Key[Array, ""], t: Int[Array, " T"]) -> UInt32[Array, "T 3 2"]:
    """Three keys, as words, for each row: hashes of its number. A tree of JAX's keys would be half of what a particle
    filter takes to compile."""
    first, second = words(key)
    whole = jax.vmap(lambda t: bits(jnp.stack([first + t.astype(jnp.uint32) * np.uint32(6), second]), 3, 2))
    return whole(t)
