"""The dual filter: estimates as optimal controls of a backward equation, by sweeps alone.

What it costs, in milliseconds, beside the other engines (`benchmarks/dual_cost.py`; one state, one observation, one
thread of a 2-core machine, double precision, after compiling):

    reads its whole past (fractional)      T = 50   200     800     2,000
        prediction of one row, dual        1.2      6.3     16      32
        the same, wiener_hopf              0.2      5.9     120     1,160
        the same, growing                  0.8      8.1     770     19,900
        the same, kalman on T entries      0.7      105     11,000
        smoothed means, dual                        8.5     12
        the same, wiener_hopf                       5.7     141
        log-likelihood, dual                        12      132
        the same, wiener_hopf                       4.9     91
    order two (oscillating)                         T = 200 1,000
        smoothed means, dual                        1.7     6.8
        the same, kalman                            1.1     4.0

So: a prediction or the smoothed means of a program with a long memory from about 250 rows on, with growing distance.
Where the likelihood, every row's prediction or smoothed covariances are wanted, `wiener_hopf` or `batch`, up to where
T^2 numbers no longer fit; where the order is low, `kalman`, or `banded`, which costs the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ssmlang.engines import _joint as joint
from ssmlang.engines import _precision as precision
from ssmlang.engines import wiener_hopf
from ssmlang.engines._conjugate import Solution, Solver, solve
from ssmlang.engines._order_p import OrderP, order_p, own_noise
from ssmlang.engines._sweeps import Sweeps, sweeps
from ssmlang.engines._truncated import by_row, preconditioner
from ssmlang.engines.banded import forward_engine
from ssmlang.engines.base import EngineBase, Filtered, Requirements, Smoothed, register
from ssmlang.engines.batch import check_data
from ssmlang.engines.program import LinearGaussian

Given = Literal["past", "present", "all"]
"""Which rows an estimate of row t may use: those before t, those up to t, or all."""
BANDED_UP_TO = 64
"""Order times entries of a row up to which the log-determinant is that of the block-banded precision."""
TOGETHER = 32
"""Rows whose smoothed covariances are solved for at once."""


class Control(NamedTuple):
    """An estimate of f'x_t as an optimal control; Kudre, Chang & Mehta (2026), theorems 1 and 2.

    estimate = E[f'x_t] - sum_s u_s'(y_s - E[y_s]),  with mean squared error `variance`, the least there is.
    """

    u: Float[Array, "T m"]
    """The control: less the weights of the observations; zero where none was used"""
    eta: Float[Array, "T n"]
    """The dual state, which runs backward in time from f at row t"""
    mu: Float[Array, "T n"]
    """The momentum, Cov(x_s, f'x_t - estimate); at the optimum R u + H mu = 0"""
    estimate: Float[Array, ""] | None
    """None where only what is seen was given"""
    variance: Float[Array, ""]
    iterations: Int[Array, ""]
    excess: Float[Array, ""]
    """A bound of what `variance` exceeds the least possible by"""


class _Problem(NamedTuple):
    """Sigma_YY over the entries seen, and what it takes to solve with it."""

    sweeps: Sweeps
    seen: Bool[Array, "T m"]

    def covariance(self, u: Float[Array, "T m"]) -> Float[Array, "T m"]:
        """Sigma_YY u: one backward and one forward sweep. The identity where nothing was seen."""
        s = self.sweeps
        through = s.emit(s.forward(s.source(s.backward(s.emit_back(jnp.where(self.seen, u, 0.0))))))
        return jnp.where(self.seen, through + s.noise(jnp.where(self.seen, u, 0.0)), u)


@register
@dataclass(frozen=True)
class Dual(EngineBase):
    """Exact inference for programs that read many rows back, up to their whole past, with no matrix over time.

    Conditional means are controls u of a backward difference equation with Sigma_YY u = -Cov(Y, f'x); a backward and a
    forward sweep are a product with Sigma_YY, and preconditioned conjugate gradients solve for u. Smoothed means of all
    rows are one such solve; their covariances take one for each entry of a row and of its signal. Programs of any
    order, noises and initial laws of any rank; the initial law must be proper. A sweep costs O(T p n^2), or
    O(n^2 T log T) by FFT for a long memory that does not change with time. NaN in y is a missing value. Kudre, Chang &
    Mehta (2026), arXiv 2604.03909.

    What needs every row's past is not the dual filter's: `filter` and `log_likelihood_terms` are those of `Kalman` for
    series much longer than the memory and of `Batch` for others. The log-determinant in `log_likelihood` is that of the
    block-banded precision for short memories and fresh noises, else of a Cholesky factor of Sigma_YY. Derivatives never
    go through the iterations.

    Results are NaN where the iterations do not converge: dynamics so unstable that sweeps overflow or that Sigma_YY is
    singular to rounding (T log(rho) > 15, say), or observation noise many orders of magnitude below the signal.
    """

    solver: Solver = "cg"
    """"cg": preconditioned conjugate gradients; "lbfgs": L-BFGS with exact line search"""
    tolerance: float = 1e-10
    """How far an estimate may lie from the exact one, in prior standard deviations of what is estimated. With
    r = b - Sigma_YY u the excess mean squared error r'Sigma_YY^-1 r is at most r'R^-1 r, which has to fall below
    tolerance^2. Where R is singular, a millionth of the signal's variance is added, and the bound is an estimate."""
    preconditioner_order: int = 5
    """Lags that the preconditioner keeps of the program's; 0: R alone"""
    max_iterations: int = 1000

    name: ClassVar[str] = "dual"
    requires: ClassVar[Requirements] = Requirements(linear=True, gaussian=True, finite_order=False, proper_start=True)

    def __post_init__(self) -> None:
        if self.solver not in ("cg", "lbfgs"):
            raise ValueError(f"solver={self.solver!r}: 'cg' or 'lbfgs'")
        if not 0.0 < self.tolerance < 1.0:
            raise ValueError(f"tolerance={self.tolerance!r}: a number between 0 and 1")
        if self.preconditioner_order < 0 or self.max_iterations < 1:
            raise ValueError("preconditioner_order is 0 or more, max_iterations 1 or more")

    def log_likelihood(self, program: LinearGaussian, y: Float[Array, "T m"]) -> Float[Array, ""]:
        """Log-density of what was observed."""
        problem = self._problem(program, y)
        away = self._away(problem, y)
        alpha = self._solution(problem)(away)
        # At the solution this is away'alpha, with an error of second order in alpha's.
        quadratic = 2.0 * jnp.vdot(alpha, away) - jnp.vdot(alpha, problem.covariance(alpha))
        value = -0.5 * quadratic - self._normalising(program, problem, y)
        return jnp.where(program.initial.exists, value, -jnp.inf)

    def log_likelihood_terms(self, program: LinearGaussian, y: Float[Array, "T m"]) -> Float[Array, " T"]:
        """Log-density of each row given the rows before it."""
        return forward_engine(program, y).log_likelihood_terms(program, y)

    def filter(self, program: LinearGaussian, y: Float[Array, "T m"]) -> Filtered:
        """Filtered and one-step-ahead moments; rows of NaN at the end are forecasts."""
        return forward_engine(program, y).filter(program, y)

    def smooth(self, program: LinearGaussian, y: Float[Array, "T m"]) -> Smoothed:
        """Moments given all of y, of the states and of the signal."""
        problem = self._problem(program, y)
        s, e = problem.sweeps, problem.sweeps.form.extents
        solution = self._solution(problem)
        alpha = jnp.where(problem.seen, solution(self._away(problem, y)), 0.0)
        z, y_mean = s.means()
        moved = s.forward(s.source(s.backward(s.emit_back(alpha))))
        mean, signal = (z + moved)[e.past :, : e.n], y_mean + s.emit(moved)
        cov, signal_cov = self._covariances(problem, solution)
        return Smoothed(mean, cov, signal, signal_cov, self.log_likelihood_terms(program, y))

    def control(
        self,
        program: LinearGaussian,
        y: Float[Array, "T m"] | Bool[Array, "T m"],
        row: int | Int[Array, ""] | None = None,
        functional: Float[Array, " n"] | None = None,
        given: Given = "past",
    ) -> Control:
        """The optimal control that estimates f'x_t, t being `row` (the last one if left out).

        `y`: the data, or booleans that tell what is seen, for the weights do not depend on values. `functional`: f,
        the first state if left out. `given`: which rows may be used, "past": the one-step prediction.
        """
        known = jnp.asarray(y).dtype == bool
        data = jnp.where(y, 0.0, jnp.nan) if known else jnp.asarray(y)
        problem = self._problem(program, data)
        s, e = problem.sweeps, problem.sweeps.form.extents
        dtype = s.form.d.dtype
        t = jnp.asarray(e.steps - 1 if row is None else row)
        rows = jnp.arange(e.steps)
        allowed = {"past": rows < t, "present": rows <= t, "all": rows >= 0}[given]
        problem = problem._replace(seen=problem.seen & allowed[:, None])
        f = jnp.eye(e.n, dtype=dtype)[0] if functional is None else jnp.asarray(functional, dtype)
        target = jnp.zeros((e.rows, e.k), dtype).at[e.past + t, : e.n].set(f)

        b = -jnp.where(problem.seen, s.emit(s.forward(s.source(s.backward(target)))), 0.0)
        found = self._iterate(problem)(b)
        u = found.u
        eta = s.backward(target + s.emit_back(u))
        mu = s.forward(s.source(eta))
        variance = jnp.vdot(eta, s.source(eta)) + jnp.vdot(u, s.noise(u))
        estimate = None
        if not known:
            z, y_mean = s.means()
            away = jnp.where(problem.seen, data - y_mean, 0.0)
            estimate = f @ z[e.past + t, : e.n] - jnp.vdot(u, away)
        rows_of = lambda v: v[e.past :, : e.n]
        return Control(u, rows_of(eta), rows_of(mu), estimate, variance, found.iterations, found.bound)

    # ------------------------------------------------------------------------------------------------ the solver

    def _problem(self, program: LinearGaussian, y: Array) -> _Problem:
        check_data(program, y)
        return _Problem(sweeps(order_p(program, len(y))), ~jnp.isnan(y))

    @staticmethod
    def _away(problem: _Problem, y: Float[Array, "T m"]) -> Float[Array, "T m"]:
        return jnp.where(problem.seen, y - problem.sweeps.means()[1], 0.0)

    def _solution(self, problem: _Problem) -> Callable[[Array], Array]:
        """b -> Sigma_YY^-1 b, whose derivatives are those of the equation and not of the iterations."""
        iterate = self._iterate(problem)
        return lambda b: jax.lax.custom_linear_solve(
            problem.covariance, b, solve=lambda _, b: iterate(b).u, symmetric=True
        )

    def _iterate(self, problem: _Problem) -> Callable[[Array], Solution]:
        fixed: _Problem = jax.lax.stop_gradient(problem)
        form, seen = fixed.sweeps.form, fixed.seen
        precondition, root = preconditioner(form, seen, self.preconditioner_order)

        def certificate(r: Array) -> Array:
            return jnp.vdot(r, by_row(root, r))

        return lambda b: solve(
            fixed.covariance, precondition, certificate, jax.lax.stop_gradient(b),
            solver=self.solver, tolerance=self.tolerance, max_iterations=self.max_iterations,
        )  # fmt: skip

    # ---------------------------------------------------------------------------------- beyond conditional means

    def _normalising(self, program: LinearGaussian, problem: _Problem, y: Array) -> Float[Array, ""]:
        """Half the log-determinant of Sigma_YY over the entries seen, and the constants."""
        form = problem.sweeps.form
        if form.extents.order * form.extents.k <= BANDED_UP_TO and _fresh(program, form):
            factored = precision.factor(form, problem.seen)
            return factored.log_det + 0.5 * np.log(2 * np.pi) * jnp.sum(problem.seen)
        law, _ = wiener_hopf.moments(problem.sweeps)
        found = joint.factor(law, y)
        each = jnp.log(jnp.diagonal(found.root)) + 0.5 * np.log(2 * np.pi)
        return jnp.sum(jnp.where(found.used, each, 0.0)) + jnp.where(jnp.any(found.impossible), jnp.inf, 0.0)

    def _covariances(
        self, problem: _Problem, solution: Callable[[Array], Array]
    ) -> tuple[Float[Array, "T n n"], Float[Array, "T m m"]]:
        """Of the states and of the signal of each row."""
        s, e = problem.sweeps, problem.sweeps.form.extents
        direct = s.form.C.shape[-3] == 1
        C = s.form.per_row("C")

        def at(t: Array) -> tuple[Array, Array]:
            z = jnp.zeros((e.rows, e.k, e.k)).at[e.past + t].set(jnp.eye(e.k))
            targets = z if direct else jnp.concatenate([z[:, :, : e.n], self._signal_at(s, t)], axis=2)
            spread = s.source(s.backward(targets))
            path = s.forward(spread)
            b = jnp.where(problem.seen[:, :, None], s.emit(path), 0.0)
            u = jax.vmap(solution, in_axes=2, out_axes=2)(b)
            left = b - jax.vmap(problem.covariance, in_axes=2, out_axes=2)(u)
            inner = lambda a, b: jnp.einsum("tia,tib->ab", a, b)
            cov = inner(targets, path) - inner(b, u) - inner(u, left)
            if direct:
                return cov[: e.n, : e.n], C[t, 0] @ cov @ C[t, 0].T
            return cov[: e.n, : e.n], cov[e.n :, e.n :]

        cov, signal = jax.lax.map(at, jnp.arange(e.steps), batch_size=TOGETHER)
        both = lambda X: 0.5 * (X + jnp.swapaxes(X, 1, 2))
        return both(cov), both(signal)

    @staticmethod
    def _signal_at(s: Sweeps, t: Array) -> Float[Array, "rows k m"]:
        """The signal of row t as functionals of the path."""
        e = s.form.extents
        return s.emit_back(jnp.zeros((e.steps, e.m, e.m)).at[t].set(jnp.eye(e.m)))


def _fresh(program: LinearGaussian, form: OrderP) -> bool:
    """Whether Q and R have full rank at generic parameters, by the structure: each state and each observation has a
    noise of its own."""
    structure = program.structure
    if structure.memory_noises or not all(own_noise(structure)):
        return False
    G = structure.patterns[1]
    alone = G[0] & (G[0].sum(axis=0) == 1) if len(G) else np.zeros((structure.n, 0), bool)
    return bool(alone.any(axis=1).all()) and form.extents.k == structure.n
