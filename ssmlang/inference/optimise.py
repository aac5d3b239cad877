"""Maximum likelihood, posterior modes and the Laplace approximation.

The search runs on the unconstrained scale. `mle` maximises the likelihood. `map` maximises the posterior density of the
parameters on their own scale, as they are written in the file: no Jacobian is added, so that it is the mode of the
density that the priors state (the mode on the unconstrained scale would be another point). `laplace` approximates the
posterior on the unconstrained scale, Jacobian included, by a normal law at its mode there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import numpyro  # noqa: F401, whole before its parts: see `laws`
import scipy.linalg
from jax import Array
from numpyro.distributions.transforms import biject_to

from ssmlang.inference.flat import flat, spoken, uninformed
from ssmlang.inference.minimise import Objective, descend, is_positive, newton
from ssmlang.inference.priors import Priors, support_of
from ssmlang.inference.quick import quickly_compiled
from ssmlang.inference.starts import candidates
from ssmlang.language.diagnostics import Diagnostic, SsmError

DataLikelihood = Callable[[Mapping[str, Array], Any], Array]
Kind = Literal["mle", "map", "laplace"]

_TRIED = 64
_AT_THE_END = 25.0
_WORTH_COMPILING = 4.0
"""Seconds that points tried with their gradients may take before a function without them is compiled."""
_INDISTINGUISHABLE = 1e-4


@dataclass(frozen=True)
class Optimum:
    """A maximum, with what the search has to say about itself.

    `standard_errors`, in the shape of each parameter, are from the curvature of the objective, NaN for an entry at an
    end of its support. `at_boundary`: entries that go to an end (a standard deviation to 0, say). `agreeing` of
    `starts` searches ended at this maximum. `gain`: half the Newton decrement, how much higher a quadratic would go.
    """

    params: dict[str, np.ndarray]
    standard_errors: dict[str, np.ndarray]
    log_likelihood: float
    log_density: float
    converged: bool
    message: str
    at_boundary: list[str]
    starts: int
    agreeing: int
    gain: float
    unconstrained: np.ndarray = field(repr=False)
    covariance: np.ndarray = field(repr=False)
    """On the unconstrained scale; NaN in the rows of entries at an end."""


class Optimiser:
    """Searches for one model; keep it, and a second one on data of the same shapes compiles nothing."""

    def __init__(self, priors: Priors, log_likelihood: DataLikelihood) -> None:
        self.priors = priors

        def objective(kind: Kind) -> Callable[[Array, Any], Array]:
            def negative(z: Array, data: Any) -> Array:
                params, log_det, log_prior = priors.evaluate(priors.unravel(z))
                value = log_likelihood(params, data)
                if kind != "mle":
                    value += log_prior
                return -(value + log_det if kind == "laplace" else value)

            return negative

        objectives = {kind: objective(kind) for kind in ("mle", "map", "laplace")}
        self._gradients: dict[str, Callable[..., Any]] = {
            kind: jax.jit(jax.value_and_grad(of)) for kind, of in objectives.items()
        }
        self._values = {kind: quickly_compiled(of) for kind, of in objectives.items()}
        self._ends = quickly_compiled(self._distances)
        self._candidates = candidates(priors, _TRIED)

        def several(points: Array, data: Any) -> tuple[dict[str, Array], Array]:
            """Parameters of many points, and the objective of "laplace" at each, one after the other."""
            params = jax.vmap(lambda z: priors.constrain(priors.unravel(z))[0])(points)
            return params, jax.lax.map(lambda z: objective("laplace")(z, data), points)

        self._several = jax.jit(several)
        self._prior = quickly_compiled(lambda z: priors.evaluate(priors.unravel(z))[1:])
        self._prior_bends = quickly_compiled(jax.hessian(lambda z: priors.evaluate(priors.unravel(z))[1:]))
        raveled = lambda z: priors.ravel_params(priors.constrain(priors.unravel(z))[0])
        self._flat, self._slopes = quickly_compiled(raveled), quickly_compiled(jax.jacfwd(raveled))

    def mle(self, data: Any = (), *, starts: int = 4, seed: int = 0) -> Optimum:
        """Maximum likelihood. Raises E742 if no finite value is found."""
        return self._search("mle", data, starts, seed)

    def map(self, data: Any = (), *, starts: int = 4, seed: int = 0) -> Optimum:
        """The mode of the posterior density on the parameters' own scale. Raises E341 without priors, E742."""
        self.priors.require_proper('method="map"')
        return self._search("map", data, starts, seed)

    def laplace(
        self, data: Any = (), *, draws: int = 1000, chains: int = 4, starts: int = 4, seed: int = 0
    ) -> tuple[Optimum, dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The mode on the unconstrained scale; independent draws (chain, draw, *shape) of the normal law there; and
        its statistics: `lp`, the log posterior density on the unconstrained scale, and `log_q`, the approximation's.

        Raises E341 without priors, E742, and E743 where the curvature at the mode is not that of a maximum.
        """
        self.priors.require_proper('method="laplace"')
        optimum = self._search("laplace", data, starts, seed)
        if not np.isfinite(optimum.covariance).all():
            raise SsmError(Diagnostic(
                "E743", "the posterior has no normal approximation at its mode",
                why=(optimum.message,), help=('use method="nuts"',),
            ))  # fmt: skip
        root = np.linalg.cholesky(optimum.covariance)
        normal = np.random.default_rng(seed).standard_normal((chains * draws, self.priors.size))
        z = optimum.unconstrained + normal @ root.T
        with jax.enable_x64(True):
            data = jax.tree.map(jnp.asarray, data)
            params, lp = self._several(z, data)
            lp = -np.asarray(lp)
        log_q = -0.5 * (normal**2).sum(1) - np.log(np.diag(root)).sum() - 0.5 * normal.shape[1] * np.log(2 * np.pi)
        shape = lambda x: np.asarray(x).reshape(chains, draws, *np.shape(x)[1:])
        return (optimum, {n: shape(params[n]) for n in self.priors.parameters},
                {"lp": shape(lp), "log_q": shape(log_q)})  # fmt: skip

    def _search(self, kind: Kind, data: Any, starts: int, seed: int) -> Optimum:
        with jax.enable_x64(True):
            data = jax.tree.map(jnp.asarray, data)

            def objective(z: np.ndarray) -> tuple[float, np.ndarray]:
                value, gradient = self._gradients[kind](jnp.asarray(z), data)
                return float(value), np.asarray(gradient)

            tried = np.asarray(self._candidates(jax.random.key(seed), 0))
            tried = tried[np.isfinite(tried).all(1)]
            values = self._tried(kind, tried, data)
            usable = np.flatnonzero(np.isfinite(values))
            if usable.size == 0:
                raise SsmError(_nowhere_finite(kind, values))
            best = usable[np.argsort(values[usable], kind="stable")][: max(starts, 1)]
            scale = np.clip(np.std(tried, axis=0), 1e-2, 1e4) if len(tried) > 1 else np.ones(tried.shape[1])
            ends = sorted((descend(objective, tried[i], scale) for i in best), key=lambda e: e[0])
            return self._describe(kind, data, objective, ends, len(best))

    def _tried(self, kind: Kind, points: np.ndarray, data: Any) -> np.ndarray:
        """The objective at many points: by the function with the gradient, which is compiled anyway, unless without it
        they are so much quicker that a second compilation pays."""
        found: list[float] = []
        function = self._gradients[kind]
        for i, z in enumerate(points):
            begun = time.perf_counter()
            value = function(jnp.asarray(z), data)
            found.append(float(value[0] if isinstance(value, tuple) else value))
            if i == 1 and (time.perf_counter() - begun) * (len(points) - 2) > _WORTH_COMPILING:
                function = self._values[kind]
        return np.array(found)

    def _describe(self, kind: Kind, data: Any, objective: Objective, ends: list[tuple[float, np.ndarray]],
                  starts: int) -> Optimum:  # fmt: skip
        value, z = ends[0]
        z, stuck = self._to_boundaries(objective, z)
        free = np.flatnonzero(~stuck)
        z, gain, hessian = newton(objective, z, free)
        value = objective(z)[0]
        covariance = np.full((z.size, z.size), np.nan)
        positive = is_positive(hessian)
        if positive and free.size:
            covariance[np.ix_(free, free)] = scipy.linalg.cho_solve(scipy.linalg.cho_factor(hessian), np.eye(free.size))
        params = self._flat(jnp.asarray(z))
        slopes = np.asarray(self._slopes(jnp.asarray(z)))
        filled = np.where(np.isnan(covariance), 0.0, covariance)
        errors = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", slopes, filled, slopes), 0.0))
        moved = (np.abs(slopes[:, stuck]) > 0).any(1) if stuck.any() else np.zeros(errors.size, bool)
        errors = np.where(moved | (not positive), np.nan, errors)
        names = [e for p in self.priors.parameters.values() for e in p.entry_names()]
        at_boundary = [names[i] for i in np.flatnonzero(moved)]
        own = [names[i] for i in np.argmax(np.abs(slopes), axis=0)[free]]
        unknown = uninformed(hessian, self._prior_hessian(kind, z, free), own) if positive else flat(hessian, own)
        agreeing = sum(abs(v - ends[0][0]) < 1e-3 * (1 + abs(ends[0][0])) ** 0.5 for v, _ in ends)
        converged = bool(positive and gain < 1e-6)
        return Optimum(
            params=self.priors.unravel_params(np.asarray(params)),
            standard_errors=self.priors.unravel_params(errors),
            log_likelihood=-value - self._beside_likelihood(kind, z), log_density=-value,
            converged=converged, message=_message(converged, positive, gain, at_boundary, spoken(unknown)),
            at_boundary=at_boundary,
            starts=starts, agreeing=agreeing, gain=gain, unconstrained=z, covariance=covariance,
        )  # fmt: skip

    def _prior_hessian(self, kind: Kind, z: np.ndarray, free: np.ndarray) -> np.ndarray:
        """Of what the objective takes off the log-likelihood."""
        if kind == "mle":
            return np.zeros((free.size, free.size))
        log_det, log_prior = (np.asarray(h)[np.ix_(free, free)] for h in self._prior_bends(jnp.asarray(z)))
        return -(log_prior + log_det if kind == "laplace" else log_prior)

    def _beside_likelihood(self, kind: Kind, z: np.ndarray) -> float:
        """What the objective adds to the log-likelihood."""
        if kind == "mle":
            return 0.0
        log_det, log_prior = self._prior(jnp.asarray(z))
        return float(log_prior + log_det if kind == "laplace" else log_prior)

    def _to_boundaries(self, objective: Objective, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Entries whose end of support is as good as where they are go there, the others follow."""
        stuck = np.zeros(z.size, bool)
        value = objective(z)[0]
        for i, steps in enumerate(self._ways_out(z)):
            for to in steps:
                moved = z.copy()
                moved[i] = to
                if objective(moved)[0] <= value + _INDISTINGUISHABLE:
                    stuck[i], z, value = True, moved, objective(moved)[0]
                    break
        if stuck.any() and not stuck.all():
            free = np.flatnonzero(~stuck)

            def rest(part: np.ndarray) -> tuple[float, np.ndarray]:
                full = z.copy()
                full[free] = part
                value, gradient = objective(full)
                return value, gradient[free]

            z = z.copy()
            z[free] = descend(rest, z[free], np.ones(free.size))[1]
        return z, stuck

    def _ways_out(self, z: np.ndarray) -> list[list[float]]:
        """For each unconstrained entry, where the finite ends of its support practically are."""
        ways: list[list[float]] = []
        for shape, ends in zip(self.priors.unconstrained_shapes().values(), self._ends(z), strict=True):
            ways += [[(-_AT_THE_END, _AT_THE_END)[int(np.argmin(np.asarray(e)))] for e in ends]] * int(np.prod(shape))
        return ways

    def _distances(self, z: Array) -> list[list[Array]]:
        """For each parameter and each finite end of its support, how near one comes to it far below zero on the
        unconstrained scale, and far above. Vectors have faces, not ends."""
        values, found = self.priors.constrain(self.priors.unravel(z))[0], []
        for name, shape in self.priors.unconstrained_shapes().items():
            support: Any = support_of(self.priors.sites[name].law(values))
            given = () if support.event_dim else ("lower_bound", "upper_bound")
            ends = [e for e in (getattr(support, side, None) for side in given) if e is not None]
            sides = [biject_to(support)(jnp.full(shape, s * _AT_THE_END)) for s in (-1, 1)] if ends else []
            found.append([jnp.stack([jnp.max(jnp.abs(s - end)) for s in sides]) for end in ends])
        return found


def _message(converged: bool, positive: bool, gain: float, at_boundary: list[str], unknown: str) -> str:
    parts = []
    if not positive:
        of = f": {unknown}" if unknown else ""
        parts.append(f"the curvature at the end point is not that of a maximum: some direction is flat{of}")
    elif not converged:
        parts.append(f"the search stopped early: about {gain:.2g} more can be gained")
    if at_boundary:
        parts.append(f"{', '.join(at_boundary)} went to an end of the support: no standard error is given there")
    if positive and unknown:
        parts.append(f"the data say next to nothing of {unknown}: what is given there is the prior's")
    return "; ".join(parts) or "converged"


def _nowhere_finite(kind: str, values: np.ndarray) -> Diagnostic:
    seen = "NaN" if np.isnan(values).any() else "-infinity"
    return Diagnostic(
        "E742", f'method="{kind}" finds no point where the likelihood is finite',
        why=(f"it was {seen} at all {len(values)} points tried",),
        help=("give the parameters priors or intervals on the scale of the data",),
    )  # fmt: skip
