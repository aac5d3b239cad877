"""Laws restricted to a part of their support, as NumPyro distributions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro  # noqa: F401, whole before its parts: see `laws`
import numpyro.distributions as dist
from jax import Array
from numpyro.distributions import constraints
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.transforms import ParameterFreeTransform, biject_to

from ssmlang.inference import stationary
from ssmlang.inference.interval_mass import log_mass
from ssmlang.lowering.laws import complete_arguments, make
from ssmlang.model.distributions import DISTRIBUTIONS

_BISECTIONS = 70


def open_interval(low: Any, high: Any, low_infinite: bool, high_infinite: bool) -> Constraint:
    """The constraint `low < x < high`, where an infinite end is known to be one."""
    if low_infinite and high_infinite:
        return constraints.real
    if high_infinite:
        return constraints.greater_than(low)
    if low_infinite:
        return constraints.less_than(high)
    return constraints.open_interval(low, high)


def _is(end: Any, value: float) -> bool:
    return isinstance(end, float) and end == value


class Truncated(dist.Distribution):
    """A scalar law of the language truncated to an open interval and normalised, independent over `shape`.

    The normalising constant has gradients in the law's arguments (but those of `Signature.cdf_constants`) and in the
    ends.
    """

    arg_constraints: dict[str, Constraint] = {}  # noqa: RUF012  (NumPyro's own declaration)
    pytree_data_fields = ("args", "low", "high")
    pytree_aux_fields = ("name", "low_infinite", "high_infinite")

    def __init__(self, name: str, args: Mapping[str, Any], low: Any, high: Any, shape: tuple[int, ...], *,
                 low_infinite: bool = False, high_infinite: bool = False) -> None:  # fmt: skip
        self.name, self.args = name, complete_arguments(name, args)
        # The interval meets the law's own support: beyond it the law's density is not to be asked for.
        natural_low, natural_high = DISTRIBUTIONS[name].bounds or (self.args["low"], self.args["high"])
        self.low_infinite = low_infinite and _is(natural_low, -math.inf)
        self.high_infinite = high_infinite and _is(natural_high, math.inf)
        self.low = jnp.broadcast_to(jnp.maximum(low, natural_low), shape)
        self.high = jnp.broadcast_to(jnp.minimum(high, natural_high), shape)
        super().__init__(batch_shape=shape, validate_args=False)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Constraint:
        return open_interval(self.low, self.high, self.low_infinite, self.high_infinite)

    def log_prob(self, value: Array) -> Array:
        inside = (value > self.low) & (value < self.high)
        law = make(self.name, self.args, self.batch_shape)
        density = law.log_prob(value) - log_mass(self.name, self.args, self.low, self.high)
        return jnp.where(inside, density, -jnp.inf)

    def sample(self, key: Array | None, sample_shape: tuple[int, ...] = ()) -> Array:
        assert key is not None
        shape = sample_shape + self.batch_shape
        target = jnp.log(jax.random.uniform(key, shape, minval=jnp.finfo(float).tiny))
        total = log_mass(self.name, self.args, self.low, self.high)
        transform = biject_to(self.support)

        def place(z: Array) -> Array:
            return transform(-z if self.low_infinite else z)  # `less_than` is reached by a decreasing map

        # The inverse CDF by bisection on the unconstrained scale, which spans any interval of double precision.
        def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            left, right = ends
            middle = 0.5 * (left + right)
            below = log_mass(self.name, self.args, self.low, place(middle)) - total < target
            return jnp.where(below, middle, left), jnp.where(below, right, middle)

        far = 300.0 if self.low_infinite or self.high_infinite else 36.0
        left, right = jax.lax.fori_loop(0, _BISECTIONS, halve, (jnp.full(shape, -far), jnp.full(shape, far)))
        return place(0.5 * (left + right))


class _StationaryRegion(Constraint):
    """Vectors that are the coefficients of a stationary autoregression."""

    event_dim = 1

    def __call__(self, x: Array) -> Array:
        return stationary.is_stationary(x)

    def feasible_like(self, prototype: Array) -> Array:
        return jnp.zeros_like(prototype)

    def tree_flatten(self) -> tuple[tuple, tuple]:
        return (), ((), {})


stationary_region = _StationaryRegion()


class StationaryTransform(ParameterFreeTransform):
    """Real vectors to stationary coefficients, by partial autocorrelations tanh(z)."""

    domain = constraints.real_vector
    codomain = stationary_region

    def __call__(self, x: Array) -> Array:
        return stationary.constrain(x)[0]

    def _inverse(self, y: Array) -> Array:
        return stationary.unconstrain(y)

    def log_abs_det_jacobian(self, x: Array, y: Array, intermediates: Any = None) -> Array:
        return stationary.constrain(x)[1]


@biject_to.register(_StationaryRegion)
def _to_stationary(constraint: Constraint) -> StationaryTransform:
    return StationaryTransform()


class StationaryRestriction(dist.Distribution):
    """A scalar law, independent over the entries of `shape`, restricted to where the last axis is stationary.

    `log_prob` leaves out the constant log P(stationary), which has no closed form beyond order one; it does not matter
    to inference as long as the law's arguments are constants, and `Priors` refuses others.
    """

    arg_constraints: dict[str, Constraint] = {}  # noqa: RUF012
    support = stationary_region
    pytree_data_fields = ("args",)
    pytree_aux_fields = ("name",)

    def __init__(self, name: str, args: Mapping[str, Any], shape: tuple[int, ...]) -> None:
        self.name, self.args = name, complete_arguments(name, args)
        super().__init__(batch_shape=shape[:-1], event_shape=shape[-1:], validate_args=False)

    def _base(self) -> dist.Distribution:
        return make(self.name, self.args, self.batch_shape + self.event_shape)

    def log_prob(self, value: Array) -> Array:
        inside = stationary.is_stationary(value)
        return jnp.where(inside, self._base().log_prob(value).sum(-1), -jnp.inf)

    def sample(self, key: Array | None, sample_shape: tuple[int, ...] = ()) -> Array:
        """Exact draws by rejection, from the law itself and from the uniform law on the region by turns.

        The time at which a rejection sampler accepts tells nothing of what it accepts, so the first acceptance of
        either is a draw. A law that both reject a million times in a row gives NaN.
        """
        assert key is not None
        base = self._base()
        shape = sample_shape + self.batch_shape + self.event_shape
        p = shape[-1]
        k = jnp.arange(1, p + 1)
        # Uniform on the region is r_k = 2 B - 1, B ~ Beta((k + 1) // 2, k // 2 + 1) (Jones 1987, Appl. Stat. 36): the
        # number of rank (k + 1) // 2 among k uniform ones.
        rank = ((k + 1) // 2 - 1)[:, None]
        peak = _log_peak(base, self.args.get("loc"), p)

        def attempt(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
            count, key, found, done = carry
            key, k1, k2, k3 = jax.random.split(key, 4)
            proposal = base.sample(k1, sample_shape)
            accept = stationary.is_stationary(proposal)
            sorted_ = jnp.sort(jnp.where(k <= k[:, None], jax.random.uniform(k2, (*shape, p)), jnp.inf), axis=-1)
            r = 2 * jnp.take_along_axis(sorted_, jnp.broadcast_to(rank, (*shape, 1)), axis=-1)[..., 0] - 1
            uniform = stationary.coefficients(r)
            log_ratio = base.log_prob(uniform).sum(-1) - peak
            accept_uniform = jnp.log(jax.random.uniform(k3, log_ratio.shape)) < log_ratio
            new = jnp.where(accept[..., None], proposal, jnp.where(accept_uniform[..., None], uniform, found))
            return count + 1, key, jnp.where(done[..., None], found, new), done | accept | accept_uniform

        start = (jnp.array(0), key, jnp.full(shape, jnp.nan), jnp.zeros(shape[:-1], bool))
        return jax.lax.while_loop(lambda c: ~c[3].all() & (c[0] < 1_000_000), attempt, start)[2]


def _log_peak(base: dist.Distribution, loc: Any, p: int) -> Array:
    """An upper bound of the base's log density over the region, summed over the last axis."""
    # The region lies in |phi_k| <= binomial(p, k) < 2^p; a law of the table peaks at its loc or is smooth at the scale
    # of a fine grid, of which the first point shows a density without bound (and then only the base's draws count).
    positive = np.concatenate([[1e-300], np.geomspace(1e-6, 2.0**p, 2000)])
    grid = np.concatenate([-positive[::-1], [0.0], positive])
    density = base.log_prob(grid.reshape((grid.size,) + (1,) * len(base.batch_shape)))
    best = jnp.nanmax(density, axis=0)
    if loc is not None:
        best = jnp.maximum(best, base.log_prob(jnp.broadcast_to(loc, base.batch_shape)))
    return jnp.sum(best, axis=-1) + 0.05
