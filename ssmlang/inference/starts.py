"""Starting points of finite density, from draws of the prior."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro  # noqa: F401, whole before its parts: see `laws`
from jax import Array
from numpyro.distributions import constraints
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.transforms import biject_to

from ssmlang.inference.priors import Priors, support_of
from ssmlang.inference.quick import quickly_compiled
from ssmlang.language.diagnostics import Diagnostic, SsmError

CANDIDATES = 8
"""How many draws each starting point is the best of."""
_ROUNDS = 12

Gradient = Callable[[Array, Any], tuple[Array, Array]]


def candidates(priors: Priors, count: int) -> Callable[[Array, Any], Array]:
    """A compiled function of a key and the number of an attempt: `count` unconstrained points, from the prior where
    there is one.

    A flat parameter is scattered over several orders of magnitude, for nothing says what its scale is.
    """

    def one(key: Array) -> Array:
        values: dict[str, Array] = {}
        z: dict[str, Array] = {}
        shapes = priors.unconstrained_shapes()
        for k, (name, site) in zip(jax.random.split(key, max(len(priors.sites), 1)), priors.sites.items()):
            law = site.law(values)
            support = support_of(law)
            transform = biject_to(support)
            if site.is_flat:
                z[name] = _scattered(k, shapes[name], support)
                values[name] = transform(z[name])
            else:
                values[name] = law.sample(k)
                z[name] = transform.inv(values[name])
        return priors.ravel(z)

    def several(key: Array, attempt: Any) -> Array:
        return jax.vmap(one)(jax.random.split(jax.random.fold_in(key, attempt), count))

    return quickly_compiled(several)


def _scattered(key: Array, shape: tuple[int, ...], support: Constraint) -> Array:
    key_size, key_value = jax.random.split(key)
    normal = jax.random.normal(key_value, shape)
    if support is constraints.real:
        return normal * 10 ** jax.random.uniform(key_size, shape, minval=-1.0, maxval=3.0)
    if isinstance(support, constraints.greater_than | constraints.less_than):
        return jax.random.uniform(key_size, shape, minval=-5.0, maxval=7.0)
    return normal


def find_starts(
    priors: Priors,
    draw: Callable[[Array, Any], Array],
    energy_and_gradient: Gradient,
    log_likelihood: Callable[[Mapping[str, Array], Any], Array],
    data: Any,
    key: Array,
    count: int,
) -> list[tuple[Array, Array, Array]]:
    """`count` unconstrained points from `draw` (of `candidates`), with energies and gradients, each the best of a few
    draws.

    Every point is the best of draws of its own, so that the points still lie apart. Raises E741 if in many draws none
    has a finite energy and gradient.
    """
    found: list[tuple[float, tuple[Array, Array, Array]] | None] = [None] * count
    for attempt in range(_ROUNDS):
        for i, z in enumerate(np.asarray(draw(key, attempt))):
            if not np.isfinite(z).all():
                continue
            point = jnp.asarray(z)
            energy, gradient = energy_and_gradient(point, data)
            best = found[i % count]
            usable = np.isfinite(energy) and np.isfinite(gradient).all()
            if usable and (best is None or float(energy) < best[0]):
                found[i % count] = (float(energy), (point, energy, gradient))
        if all(f is not None for f in found):
            return [f[1] for f in found if f is not None]
    raise SsmError(_no_start(priors, log_likelihood, data, np.asarray(draw(key, _ROUNDS))[0], count))


def _no_start(priors: Priors, log_likelihood: Callable, data: Any, z: np.ndarray, count: int) -> Diagnostic:
    params, _, log_prior = priors.evaluate(priors.unravel(jnp.asarray(z)))
    value = float(log_likelihood(params, data))
    at = ", ".join(f"{k} = {np.array2string(np.asarray(v), precision=4, threshold=4)}" for k, v in params.items())
    if not np.isfinite(value):
        what = f"the log-likelihood is {value}"
    elif not np.isfinite(float(log_prior)):
        what = f"the log prior density is {float(log_prior)}"
    else:
        what = "the density is finite, but its gradient is not,"
    return Diagnostic(
        "E741", f"no starting point of finite density in {_ROUNDS * CANDIDATES * count} draws from the prior",
        why=(f"{what} at {at}",),
        help=("compare the scale of the priors with that of the data: model.simulate() draws from both",),
    )  # fmt: skip
