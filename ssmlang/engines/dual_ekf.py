"""The dual extended Kalman filter: one filter for the states, one for the augmented parameters, sharing the innovation.

With x the states, w the parameters on their unconstrained scale, and D = dx/dw the recursive derivative of the state
estimate (Wan & Nelson 2001, Dual Extended Kalman Filter Methods, section 5.2.4; the gain's own derivative left out):

    state       x- = f(x, w),  Pi- = F Pi F' + Q,  S = H Pi- H' + R,  K = Pi- H' S^-1,  e = y - h(x-, w-)
    derivative  D- = F D + df/dw,  C = H D- + dh/dw,  D = D- - K C
    parameters  P- = P + walk^2,  K_w = P- C' (C P- C' + R_w)^-1,  w = w- + K_w e,  x = x- + K e

`derivative="static"` takes D- = df/dw, as if the state estimate did not depend on the parameters. `noise="innovation"`
takes R_w = S, so that the state's own uncertainty counts; `noise="process"` R_w = H Q H' + R, which takes the state
estimate for the truth and can make the parameters certain too soon. With `corrected=True` the state moves with the
parameters, x += D (w - w-), and what is reported is the joint law P_xx = Pi + D P D', P_xw = D P; where the parameters
do not walk that is the joint extended Kalman filter, to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ssmlang.engines._evidence import averaged, axes_seen, counted_alone
from ssmlang.engines._linearise import Affine
from ssmlang.engines._on_average import on_average, sides_of
from ssmlang.engines._unstuck import PROBED, unstuck
from ssmlang.engines.base import EngineBase, register
from ssmlang.engines.nonlinear import Estimated, Facts, Law, Nonlinear
from ssmlang.engines.requirements import Requirements
from ssmlang.engines.stepwise import Probe

COVARIANCE_LIMIT = 10**8
"""Most numbers that the covariances of all rows may hold; beyond, standard deviations are given instead."""


class _Carried(NamedTuple):
    x: Float[Array, " i"]
    w: Float[Array, " j"]
    Pi: Float[Array, "i i"]
    P: Float[Array, "j j"]
    D: Float[Array, "i j"]


@register
@dataclass(frozen=True)
class DualEKF(EngineBase):
    """States and augmented parameters in two extended Kalman filters (Wan & Nelson 2001)."""

    derivative: Literal["recursive", "static"] = "recursive"
    noise: Literal["innovation", "process"] = "innovation"
    corrected: bool = False
    seed: int = 0
    """of the draws that parameters start from which nothing depends on to first order at their prior means: the weights
    of a network's hidden units, say, which no linearisation there could ever move"""
    name: ClassVar[str] = "dual_ekf"
    requires: ClassVar[Requirements] = Requirements(
        linear=False, gaussian=False, finite_order=True, exact=False, continuous=True, moments=True, augmented=True,
        smooths=False, by_row=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        if self.derivative not in ("recursive", "static"):
            raise ValueError(f"derivative={self.derivative!r}: one of 'recursive', 'static'")
        if self.noise not in ("innovation", "process"):
            raise ValueError(f"noise={self.noise!r}: one of 'innovation', 'process'")

    def log_likelihood_terms(self, program: Nonlinear, y: Float[Array, "T m"]) -> Float[Array, " T"]:
        """Log-density of each row given the rows before it."""
        return self.filter(program, y).log_likelihood

    def smooth(self, program: Nonlinear, y: Float[Array, "T m"]) -> Estimated:
        """TypeError: the pair of filters has no smoother."""
        raise TypeError("the dual filter has no smoother; EKF smooths states and parameters together")

    def filter(self, program: Nonlinear, y: Float[Array, "T m"]) -> Estimated:
        """Filtered and one-step-ahead moments of each row."""
        facts, split = program.facts, _Split.of(program)
        full = len(y) * facts.n**2 <= COVARIANCE_LIMIT

        def body(carried: tuple[_Carried, Array], row: tuple[Array, Array]) -> tuple[Any, Estimated]:
            (ahead, Q), (t, y) = carried, row
            after, found = self._row(split, ahead, Q, t, y, full)
            return split.moved(after, t + 1, static=self.derivative == "static"), found

        start = split.unstuck(split.start(), jax.random.key(self.seed), program, jnp.arange(min(len(y), PROBED)))
        found: Estimated = jax.lax.scan(body, (start, split.still), (jnp.arange(len(y)), y))[1]
        return found

    def observed_on_average(self, program: Nonlinear, y: Float[Array, "T m"]) -> Float[Array, "T q"]:
        """`Nonlinear.observed`'s mean one row ahead, over the joint law of states and parameters."""
        split, nothing = _Split.of(program), jnp.full(program.facts.m, jnp.nan)

        def body(carried: tuple[_Carried, Array], row: tuple[Array, Array]) -> tuple[Any, Array]:
            (ahead, Q), (t, y) = carried, row
            seen = split.slopes(lambda s: program.emission(t, s, nothing).mean, ahead)
            sides = sides_of(lambda V: split.times(ahead, V), split.joined(*(J.T for J in seen)).T)
            found = on_average(lambda s: program.observed(t, s).mean, split.joined(ahead.x, ahead.w), sides)
            after = self._updated(split, ahead, Q, t, y)[0]
            return split.moved(after, t + 1, static=self.derivative == "static"), found

        start = split.unstuck(split.start(), jax.random.key(self.seed), program, jnp.arange(min(len(y), PROBED)))
        found: Array = jax.lax.scan(body, (start, split.still), (jnp.arange(len(y)), y))[1]
        return found

    def _row(self, split: _Split, ahead: _Carried, Q: Array, t: Array, y: Array, full: bool
             ) -> tuple[_Carried, Estimated]:  # fmt: skip
        after, seen = self._updated(split, ahead, Q, t, y)
        seen["log_likelihood"] = jnp.where(split.program.exists, seen["log_likelihood"], -jnp.inf)
        found = {"predicted_" + k: v for k, v in self._moments(split, ahead, full).items()}
        found |= self._moments(split, after, full)
        told: dict[str, Any] = {**found, **seen, **split.definitions(after, t)}
        return after, Estimated(cov=told.pop("cov", None), **told)

    def begin(self, program: Nonlinear, key: None = None, probe: Probe | None = None) -> _Carried:
        """Row 0 before its observations, as `step` takes it; what depends on a parameter is looked for in `probe`."""
        del key
        split = _Split.of(program)
        whole, times = (program, jnp.zeros(1, int)) if probe is None else probe
        return split.unstuck(split.start(), jax.random.key(self.seed), whole, times)

    def step(self, program: Nonlinear, t: Int[Array, ""], y: Float[Array, " m"], before: _Carried, key: None = None, *,
             first: bool = False) -> tuple[_Carried, Estimated]:  # fmt: skip
        """Row t of `filter` from what the row before it left; `first`: from that of `begin`."""
        del key
        split = _Split.of(program)
        moved = (before, split.still) if first else split.moved(before, t, static=self.derivative == "static")
        return self._row(split, *moved, t, y, program.facts.n**2 <= COVARIANCE_LIMIT)

    def widened(self, carried: _Carried, at: Int[np.ndarray, " N"], values: Float[Array, " N"],
                facts: tuple[Facts, Facts]) -> _Carried:  # fmt: skip
        """What is carried over a memory whose entry i was entry at[i] before; where that is -1, the known values[i]."""
        before, now = (np.setdiff1d(np.arange(f.N), f.augmented) for f in facts)
        place = np.searchsorted(before, at[now])
        known = at[now] < 0
        place[known] = 0
        Pi = jnp.where(known[:, None] | known[None, :], 0.0, carried.Pi[place[:, None], place[None, :]])
        x, D = jnp.where(known, values[now], carried.x[place]), jnp.where(known[:, None], 0.0, carried.D[place])
        return carried._replace(x=x, Pi=Pi, D=D)

    def _updated(self, split: _Split, ahead: _Carried, Q: Array, t: Array, y: Array
                 ) -> tuple[_Carried, dict[str, Array]]:  # fmt: skip
        program, z = split.program, split.program.statistic(y)
        there = ~jnp.isnan(z)
        law = program.emission(t, split.joined(ahead.x, ahead.w), y)
        H, own = split.slopes(lambda s: program.emission(t, s, y).mean, ahead)
        H, own = (jnp.where(there[:, None], J, 0.0) for J in (H, own))
        R = jnp.where(there[:, None] & there[None, :], law.cov, jnp.diag(jnp.where(there, 0.0, 1.0)))
        e = jnp.where(there, z - law.mean, 0.0)
        S = H @ ahead.Pi @ H.T + R
        C = H @ ahead.D + own
        spread = S if self.noise == "innovation" else H @ Q @ H.T + R
        K = _gain(S, H @ ahead.Pi)
        PC = ahead.P @ C.T
        L = jnp.linalg.cholesky(C @ PC + spread)
        V = jax.scipy.linalg.solve_triangular(L, PC.T, lower=True)
        w = ahead.w + V.T @ jax.scipy.linalg.solve_triangular(L, e, lower=True)
        D = ahead.D - K @ C
        x = ahead.x + K @ e + (D @ (w - ahead.w) if self.corrected else 0.0)
        I_KH = jnp.eye(len(x)) - K @ H
        Pi = I_KH @ ahead.Pi @ I_KH.T + K @ jnp.where(there[:, None], R, 0.0) @ K.T
        total = S + C @ PC
        if split.program.facts.gaussian_emission:
            term = _log_density(e, total, there)
        else:
            term = split.evidence(t, ahead, y, z, law, (H, own), total)
        predicted = program.observed(t, split.joined(ahead.x, ahead.w))
        H_y, own_y = split.slopes(lambda s: program.observed(t, s).mean, ahead)
        C_y = H_y @ ahead.D + own_y
        cov = H_y @ ahead.Pi @ H_y.T + C_y @ ahead.P @ C_y.T + predicted.cov
        seen = {"observed_mean": predicted.mean, "observed_cov": cov, "log_likelihood": term}
        return _Carried(x, w, Pi, ahead.P - V.T @ V, D), seen

    def _moments(self, split: _Split, law: _Carried, full: bool) -> dict[str, Array]:
        mean = split.joined(law.x, law.w)[: split.n]
        D = law.D if self.corrected else jnp.zeros_like(law.D)
        if not full:
            own = jnp.diagonal(law.Pi) + jnp.sum((D @ law.P) * D, axis=1)
            return {"mean": mean, "sd": jnp.sqrt(split.joined(own, jnp.diagonal(law.P))[: split.n])}
        DP = D @ law.P
        blocks = jnp.block([[law.Pi + DP @ D.T, DP], [DP.T, law.P]])
        back = np.argsort(np.concatenate([split.own, split.shared]))[: split.n]
        return {"mean": mean, "cov": blocks[back[:, None], back[None, :]]}


@dataclass(frozen=True)
class _Split:
    """A program's memory in two: what augmented parameters are, and the rest."""

    program: Nonlinear
    own: np.ndarray
    shared: np.ndarray

    @classmethod
    def of(cls, program: Nonlinear) -> _Split:
        shared = np.array(program.facts.augmented, int)
        return cls(program, np.setdiff1d(np.arange(program.facts.N), shared), shared)

    @property
    def n(self) -> int:
        return self.program.facts.n

    def joined(self, x: Array, w: Array) -> Array:
        """The memory."""
        back = np.argsort(np.concatenate([self.own, self.shared]))
        return jnp.concatenate([x, w])[back]

    def times(self, law: _Carried, V: Float[Array, "N k"]) -> Float[Array, "N k"]:
        """The joint covariance of states and parameters by V."""
        Vx, Vw = V[self.own], V[self.shared]
        PV = law.P @ (law.D.T @ Vx + Vw)
        return self.joined(law.Pi @ Vx + law.D @ PV, PV)

    def slopes(self, f: Callable[[Array], Array], at: _Carried) -> tuple[Array, Array]:
        """Derivatives of a function of the memory in the states and in the parameters."""
        out = jax.eval_shape(f, self.joined(at.x, at.w)).shape[0]
        ways = [jax.jacrev if out < size else jax.jacfwd for size in (len(at.x), len(at.w))]
        return (ways[0](lambda x: f(self.joined(x, at.w)))(at.x), ways[1](lambda w: f(self.joined(at.x, w)))(at.w))

    def evidence(self, t: Array, ahead: _Carried, y: Array, z: Array, law: Law, slopes: tuple[Array, Array],
                 S: Array) -> Float[Array, ""]:  # fmt: skip
        """log p(y) where y is not Gaussian, under the joint law of states and parameters ahead of the row; `law` is the
        emission at its mean, S the covariance of the statistic, a unit where it is missing. Of the axes of the law
        after the row those alone that the statistic sees."""
        facts, program = self.program.facts, self.program
        A = self.joined(*(J.T for J in slopes)).T
        PA = self.times(ahead, A.T)
        there = ~jnp.isnan(z)
        e = jnp.where(there, z - law.mean, 0.0)
        m = self.joined(ahead.x, ahead.w)
        K = _gain(S, PA.T)
        sides = axes_seen(PA - K @ (A @ PA), A, False)
        counts = counted_alone(facts, y)
        density = lambda s: program.log_emission(t, s, counts)
        sight = Affine(A, law.mean - A @ m, law.cov)
        counted = ~jnp.isnan(program.statistic(counts))
        return averaged(density, m, A @ PA, m + K @ e, sides, sight, z, counted, False)

    def start(self) -> _Carried:
        """The law of row 0: what of the states depends on the parameters enters by the derivative."""
        e = jnp.zeros(self.program.facts.first_noises)
        s, J = self.program.first(e), jax.jacfwd(self.program.first)(e)
        Jx, Jw = J[self.own], J[self.shared]
        P, cross = Jw @ Jw.T, Jx @ Jw.T
        D = jnp.linalg.lstsq(P, cross.T)[0].T if len(self.own) else jnp.zeros((0, len(self.shared)))
        return _Carried(s[self.own], s[self.shared], Jx @ Jx.T - D @ cross.T, P, D)

    @property
    def still(self) -> Array:
        """No noise of the states."""
        return jnp.zeros((len(self.own), len(self.own)))

    def unstuck(self, law: _Carried, key: Array, program: Nonlinear, times: Int[Array, " rows"]) -> _Carried:
        """The law of row 0 with parameters drawn that nothing would move; see `ssmlang.engines._unstuck`."""
        mean = self.joined(law.x, law.w)
        sd = self.joined(jnp.sqrt(jnp.diagonal(law.Pi)), jnp.sqrt(jnp.diagonal(law.P)))
        return law._replace(w=unstuck(program, mean, sd, key, times)[self.shared])

    def moved(self, before: _Carried, t: Array, *, static: bool) -> tuple[_Carried, Array]:
        """The law a row later, and the states' noise."""
        program, facts = self.program, self.program.facts
        still = jnp.zeros(facts.noises)
        own = lambda s: program.transition(t, s, still)[self.own]
        s = self.joined(before.x, before.w)
        after = program.transition(t, s, still)
        F, X = self.slopes(own, before)
        G = jax.jacfwd(lambda e: program.transition(t, s, e)[self.own])(still) if len(self.own) else jnp.zeros((0, 0))
        Q = G @ G.T
        # Each parameter steps by a standard normal number of its own, so a step of one of each shows all sizes.
        step = program.transition(t, s, jnp.ones(facts.noises))[self.shared] - after[self.shared]
        D = X if static else F @ before.D + X
        P = before.P + jnp.diag(step**2)
        return _Carried(after[self.own], after[self.shared], F @ before.Pi @ F.T + Q, P, D), Q

    def definitions(self, law: _Carried, t: Array) -> dict[str, Array]:
        if not self.program.facts.definitions:
            return {}
        f = lambda s: self.program.definitions(t, s)
        A, B = self.slopes(f, law)
        B = B + A @ law.D
        variance = jnp.sum((A @ law.Pi) * A, axis=1) + jnp.sum((B @ law.P) * B, axis=1)
        positive = variance > 0
        sd = jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1.0)), 0.0)
        return {"definition_mean": f(self.joined(law.x, law.w)), "definition_sd": sd}


def _gain(S: Float[Array, "k k"], HP: Float[Array, "k n"]) -> Float[Array, "n k"]:
    return jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(S), True), HP).T


def _log_density(e: Array, S: Array, there: Array) -> Array:
    L = jnp.linalg.cholesky(jnp.where(there[:, None] & there[None, :], S, jnp.eye(len(e))))
    u = jax.scipy.linalg.solve_triangular(L, e, lower=True)
    return -0.5 * jnp.sum(u**2) - jnp.sum(jnp.where(there, jnp.log(jnp.diagonal(L)) + 0.5 * jnp.log(2 * jnp.pi), 0.0))
