"""The engine `imm`: switching linear-Gaussian programs, mixtures of Gaussians brought back to as many as there are
values of the chain's memory.

`kim`: each remembered regime is taken on by each next one, updated, and what agrees in what is remembered becomes one
Gaussian of the same mean and covariance (Kim 1994, the second-order generalised pseudo-Bayesian filter). `imm`: what
leads to a regime becomes one Gaussian before it is taken on, which costs a filter for each regime instead of one for
each pair (Blom & Bar-Shalom 1988). Nothing is approximated where no real state depends on an earlier row, nor where
all rows of the regimes are remembered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ssmlang.engines._mixtures import Laws, collapsed, gain, predicted, seen, updated, whole
from ssmlang.engines._switching_bound import Given, draw_bound
from ssmlang.engines._switching_paths import SwitchingPaths, draw, onward
from ssmlang.engines.base import EngineBase, register
from ssmlang.engines.markov_chain import log_sum
from ssmlang.engines.requirements import Requirements
from ssmlang.engines.semidefinite import semidefinite_root
from ssmlang.engines.switching import Switching, SwitchingFiltered, SwitchingSmoothed


class _Row(NamedTuple):
    """What a row leaves: logarithms of probabilities of the memory, and the law of the states for each value of it."""

    log_predicted: Array
    log_filtered: Array
    predicted: Laws
    """given the rows before it"""
    filtered: Laws
    observed: Laws
    """the one law of the observations, given the rows before"""
    value: Array


Carried = tuple[Array, Laws]
"""Log-probabilities of the memory, and the law of the states for each value of it."""


@register
@dataclass(frozen=True)
class IMM(EngineBase):
    """Gaussian mixtures for switching linear-Gaussian programs.

    `method`: "kim" collapses after each update, "imm" before. `history`: how many rows of the regimes are remembered at
    least; with more of them less is approximated, at the cost of a power. `proposals`: how many paths of the regimes
    are drawn for each path that is kept, by its weight: with many of them draws have the exact law.
    """

    name: ClassVar[str] = "imm"
    requires: ClassVar[Requirements] = Requirements(
        linear=False, gaussian=True, finite_order=True, exact=False, switching=True, by_row=True
    )

    method: Literal["kim", "imm"] = "kim"
    history: int = 1
    proposals: int = 8

    def log_likelihood_terms(self, program: Switching, y: Float[Array, "T m"]) -> Float[Array, " T"]:
        """Log-density of each row given the rows before it, by the mixture kept."""
        return self._run(program, y, lambda row: row.value)

    def filter(self, program: Switching, y: Float[Array, "T m"]) -> SwitchingFiltered:
        """Probabilities of the regimes and moments of the states, filtered and one step ahead."""
        return SwitchingFiltered(*self._run(program, y, lambda row: _told(row, program.n)))

    def smooth(self, program: Switching, y: Float[Array, "T m"], last: Any = None) -> SwitchingSmoothed:
        """Kim's smoother: the probabilities and the laws of each row from those of the row after it.

        `last`: the last row there is, where those after it are padding; they keep what the filter found.
        """
        kept = self._run(program, y, lambda row: (row.log_filtered, row.filtered, row.value))
        log_filtered, filtered, values = kept
        memory, n = program.chain.memory, program.n
        moves, succ = program.chain.log_transition, memory.successors
        still, moving = _split(program)

        def step(after: tuple[Array, Laws], row: Any) -> tuple[tuple[Array, Laws], tuple[Array, Laws]]:
            log_p, laws = after
            t, log_now, now, transition, changing = row
            M = {**still, **changing}
            joint = log_now[:, None] + (moves if transition is None else transition)
            total = memory.gather(joint, log_sum)
            safe = jnp.where(jnp.isfinite(total), total, 0.0)
            weights = joint + memory.spread(jnp.where(jnp.isfinite(total), log_p - safe, -jnp.inf))
            A = M["A"][succ]
            start = Laws(*(jnp.broadcast_to(v[:, None], (*succ.shape, *v.shape[1:])) for v in now))
            ahead = predicted(start, A, M["a"][succ], M["Q"][succ])
            J = gain(start.cov @ jnp.swapaxes(A, -1, -2), ahead.cov)
            mean = start.mean + jnp.einsum("...ij,...j->...i", J, laws.mean[succ] - ahead.mean)
            cov = start.cov + J @ (laws.cov[succ] - ahead.cov) @ jnp.swapaxes(J, -1, -2)
            log_before = log_sum(weights, axis=1)
            shift = jnp.where(jnp.isfinite(log_before), log_before, 0.0)
            share = jnp.where(jnp.isfinite(weights), jnp.exp(weights - shift[:, None]), 0.0)
            # Where a regime has no probability its law is that of the filter.
            share = jnp.where(jnp.isfinite(log_before)[:, None], share, 1.0 / share.shape[1])
            back = jax.vmap(whole)(share, Laws(mean, cov))
            found = jax.tree.map(lambda a, b: jnp.where(t < end_row, a, b), (log_before, back), (log_now, now))
            return found, found

        end = (log_filtered[-1], jax.tree.map(lambda v: v[-1], filtered))
        count = len(log_filtered) - 1
        end_row = count if last is None else last
        rows = (jnp.arange(count), log_filtered[:-1], jax.tree.map(lambda v: v[:-1], filtered), _moves(program),
                _later(moving))  # fmt: skip
        _, (log_p, laws) = jax.lax.scan(step, end, rows, reverse=True)
        log_p, laws = jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), (log_p, laws), end)

        def told(p: Array, laws: Laws, changing: dict[str, Array]) -> Any:
            M = {**still, **changing}
            now, signal = whole(p, laws), whole(p, seen(laws, M["Z"], M["d"], jnp.zeros(())))
            return now.mean[:n], now.cov[:n, :n], signal.mean, signal.cov

        p = jnp.exp(log_p)
        mean, cov, signal_mean, signal_cov = jax.vmap(told)(p, laws, moving)
        return SwitchingSmoothed(p, mean, cov, signal_mean, signal_cov, values)

    def draw_paths(self, program: Switching, y: Float[Array, "T m"], keys: Key[Array, " draws"], *, bound: bool = False
                   ) -> SwitchingPaths:  # fmt: skip
        """Draws of the regimes' memory and of the states of every row given all rows.

        Regimes are drawn backward from the filter's mixture, `proposals` paths for each that is kept, which is chosen
        by the ratio of their exact probability to that of the proposal; the states are drawn exactly given them. What
        is approximate is the choice among finitely many. Sarkka, Bunch & Godsill (2012). NaN where a regime's noises
        leave some of a row's data a certain function of the state before; not so if `bound`: regimes are then proposed
        by the filter's probabilities alone (Kim 1994), which takes more proposals.
        """
        log_filtered, filtered, values = self._run(program, y, lambda row: (row.log_filtered, row.filtered, row.value))
        T = len(values)
        M = {k: v if moves else jnp.broadcast_to(v, (T, *v.shape)) for k, (v, moves) in program.matrices.items()}
        every = lambda f, *axes: jax.vmap(jax.vmap(f, in_axes=axes))
        if bound:
            given = Given(**M, mean=program.mean, cov=program.cov, y=y)
            own = lambda key: draw_bound(program.chain, given, log_filtered, program.n, self.proposals, key)
            return SwitchingPaths(*jax.lax.map(own, keys, batch_size=64))
        rows = every(onward, *([0] * 6), None)(*(M[k] for k in ("A", "a", "Q", "Z", "d", "R")), y)
        roots = Laws(filtered.mean, every(semidefinite_root, 0)(filtered.cov))
        one = lambda key: draw(program.chain, rows, log_filtered, roots, values[0], program.n, self.proposals, key)
        return SwitchingPaths(*jax.lax.map(one, keys, batch_size=64))

    def step(self, program: Switching, y: Float[Array, " m"], before: Carried | None
             ) -> tuple[Carried, SwitchingFiltered]:  # fmt: skip
        """One row of `filter`, which is the one row of the program; `before` is what the row before it left."""
        M = {k: v[0] if moves else v for k, (v, moves) in program.matrices.items()}
        chain = program.chain
        if before is None:
            found = _finish(chain.log_initial, Laws(program.mean, program.cov), y, chain.log_emission[0], M)
        else:
            moves = chain.log_transition[0] if chain.varies else chain.log_transition
            found = self._next(program, before, y, chain.log_emission[0], moves, M)
        return (found.log_filtered, found.filtered), SwitchingFiltered(*_told(found, program.n))

    def cumulative(self, program: Switching, y: Float[Array, "T m"], values: Float[Array, "R m"], first: Any = 0
                   ) -> Float[Array, "R m"]:  # fmt: skip
        """How probable values up to those given are, given the rows of y before, entry by entry: of the mixture kept.
        `first`: the row of the first of them."""
        found = self._run(program, y, lambda row: (row.log_predicted, row.predicted))
        still, moving = _split(program)
        own = lambda v: jax.lax.dynamic_slice_in_dim(v, first, len(values))
        (log_p, laws), moving = jax.tree.map(own, (found, moving))

        def row(p: Array, laws: Laws, y: Array, changing: dict[str, Array]) -> Array:
            M = {**still, **changing}
            each = seen(laws, M["Z"], M["d"], M["R"])
            variance = jnp.diagonal(each.cov, axis1=-2, axis2=-1)
            sd = jnp.sqrt(jnp.where(variance > 0, variance, jnp.nan))
            return jnp.exp(p) @ jax.scipy.special.ndtr((y - each.mean) / sd)

        return jax.vmap(row)(log_p, laws, values, moving)

    def cumulative_states(self, program: Switching, y: Float[Array, "T m"], values: Float[Array, "R n"],
                          first: Any = 0) -> Float[Array, "R n"]:  # fmt: skip
        """How probable values of the states up to those given are, given the rows of y up to theirs, entry by entry: of
        the mixture kept. `first`: the row of the first of them."""
        found = self._run(program, y, lambda row: (row.log_filtered, row.filtered))
        own = lambda v: jax.lax.dynamic_slice_in_dim(v, first, len(values))
        log_p, laws = jax.tree.map(own, found)
        n = values.shape[1]

        def row(p: Array, laws: Laws, x: Array) -> Array:
            mean, variance = laws.mean[:, :n], jnp.diagonal(laws.cov, axis1=-2, axis2=-1)[:, :n]
            sd = jnp.sqrt(jnp.where(variance > 0, variance, 1.0))
            below = jnp.where(variance > 0, jax.scipy.special.ndtr((x - mean) / sd), x >= mean)
            return jnp.exp(p) @ below

        return jax.vmap(row)(log_p, laws, values)

    def _run(self, program: Switching, y: Array, told: Any) -> Any:
        """`told` of each row, stacked."""
        chain = program.chain
        still, moving = _split(program)
        at = lambda changing: {**still, **changing}

        def step(last: Carried, row: Any) -> tuple[Carried, Any]:
            y, emission, transition, changing = row
            moves = chain.log_transition if transition is None else transition
            found = self._next(program, last, y, emission, moves, at(changing))
            return (found.log_filtered, found.filtered), told(found)

        first = at({k: v[0] for k, v in moving.items()})
        start = _finish(chain.log_initial, Laws(program.mean, program.cov), y[0], chain.log_emission[0], first)
        rows = (y[1:], chain.log_emission[1:], _moves(program), _later(moving))
        _, rest = jax.lax.scan(step, (start.log_filtered, start.filtered), rows)
        return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), told(start), rest)

    def _next(self, program: Switching, last: Carried, y: Array, emission: Array, moves: Array, M: dict[str, Array]
              ) -> _Row:  # fmt: skip
        """A row from the one before it."""
        memory, (log_last, laws) = program.chain.memory, last
        succ = memory.successors
        joint = log_last[:, None] + moves
        start = Laws(*(jnp.broadcast_to(v[:, None], (*succ.shape, *v.shape[1:])) for v in laws))
        if self.method == "imm":
            log_p, mixed = collapsed(joint, start, memory)
            return _finish(log_p, predicted(mixed, M["A"], M["a"], M["Q"]), y, emission, M)
        ahead = predicted(start, M["A"][succ], M["a"][succ], M["Q"][succ])
        after, density = updated(ahead, y, M["Z"][succ], M["d"][succ], M["R"][succ])
        weights = joint + density + emission[succ]
        value = log_sum(weights)
        weights = jnp.where(jnp.isfinite(value), weights - jnp.where(jnp.isfinite(value), value, 0.0), weights)
        log_now, now = collapsed(weights, after, memory)
        log_p, laws_ahead = collapsed(joint, ahead, memory)
        flat = lambda laws: Laws(*(v.reshape(-1, *v.shape[2:]) for v in laws))
        observed = whole(jnp.exp(joint).reshape(-1), flat(seen(ahead, M["Z"][succ], M["d"][succ], M["R"][succ])))
        return _Row(log_p, log_now, laws_ahead, now, observed, value)


def _told(row: _Row, n: int) -> tuple[Any, ...]:
    """The fields of `SwitchingFiltered`."""
    p, q = jnp.exp(row.log_predicted), jnp.exp(row.log_filtered)
    ahead, now = whole(p, row.predicted), whole(q, row.filtered)
    return (p, q, now.mean[:n], now.cov[:n, :n], ahead.mean[:n], ahead.cov[:n, :n], row.observed.mean,
            row.observed.cov, row.value)  # fmt: skip


def _finish(log_p: Array, laws: Laws, y: Array, emission: Array, M: dict[str, Array]) -> _Row:
    """A row's update where there is one law for each value of the memory."""
    after, density = updated(laws, y, M["Z"], M["d"], M["R"])
    weights = log_p + density + emission
    value = log_sum(weights)
    weights = jnp.where(jnp.isfinite(value), weights - jnp.where(jnp.isfinite(value), value, 0.0), weights)
    observed = whole(jnp.exp(log_p), seen(laws, M["Z"], M["d"], M["R"]))
    return _Row(log_p, weights, laws, after, observed, value)


def _split(program: Switching) -> tuple[dict[str, Array], dict[str, Array]]:
    """Arrays that stay, and those that change from row to row."""
    found = program.matrices
    return {k: v for k, (v, moves) in found.items() if not moves}, {k: v for k, (v, moves) in found.items() if moves}


def _later(moving: dict[str, Array]) -> dict[str, Array]:
    return {k: v[1:] for k, v in moving.items()}


def _moves(program: Switching) -> Array | None:
    return program.chain.log_transition[1:] if program.chain.varies else None
