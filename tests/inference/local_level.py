"""The local level by a scalar filter, and the Nile series, for tests of what is built around a likelihood."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from handmade import model, parameter
from jax import Array

from ssmlang.inference.priors import Priors

NILE = np.array([
    1120, 1160, 963, 1210, 1160, 1160, 813, 1230, 1370, 1140, 995, 935, 1110, 994, 1020, 960, 1180, 799, 958, 1140,
    1100, 1210, 1150, 1250, 1260, 1220, 1030, 1100, 774, 840, 874, 694, 940, 833, 701, 916, 692, 1020, 1050, 969,
    831, 726, 456, 824, 702, 1120, 1100, 832, 764, 821, 768, 845, 864, 862, 698, 845, 744, 796, 1040, 759,
    781, 865, 845, 944, 984, 897, 822, 1010, 771, 676, 649, 846, 812, 742, 801, 1040, 860, 874, 848, 890,
    744, 749, 838, 1050, 918, 986, 797, 923, 975, 815, 1020, 906, 901, 1170, 912, 746, 919, 718, 714, 740,
], float)  # fmt: skip


def log_likelihood(params: Mapping[str, Array], y: Array, mean: float = 1000.0, var: float = 500.0**2) -> Array:
    """log p(y) with x_0 ~ N(mean, var)."""
    q, r = params["sd_level"] ** 2, params["sd_flow"] ** 2

    def row(carry: tuple[Array, Array, Array], y: Array) -> tuple[tuple[Array, Array, Array], None]:
        m, p, total = carry
        s = p + r
        v, k = y - m, p / s
        return (m + k * v, p - k * p + q, total - 0.5 * (jnp.log(2 * jnp.pi * s) + v * v / s)), None

    start = (jnp.asarray(mean), jnp.asarray(var), jnp.asarray(0.0))
    return jax.lax.scan(row, start, y)[0][2]


def diffuse_log_likelihood(params: Mapping[str, Array], y: Array) -> Array:
    """log p(y_1.. | y_0) with a flat x_0: what the exact diffuse filter gives."""
    r = params["sd_flow"] ** 2
    return log_likelihood(params, y[1:], y[0], r + params["sd_level"] ** 2)


def priors(scale_level: float = 200.0, scale_flow: float = 200.0) -> Priors:
    return Priors(model(parameter("sd_level", ("HalfNormal", {"scale": scale_level})),
                        parameter("sd_flow", ("HalfNormal", {"scale": scale_flow}))))  # fmt: skip


def flat_priors() -> Priors:
    return Priors(model(parameter("sd_level", between=(0, np.inf)), parameter("sd_flow", between=(0, np.inf))))
