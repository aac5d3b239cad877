"""The engine `discrete`: exact inference where every state has finitely many values.

Forward and backward recursions, the most probable path (Viterbi) and draws of paths, for a `MarkovChain` or for many
that never meet (`Chains`). Rabiner (1989); Hamilton (1989).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from ssmlang.engines import _chain_parallel, _chain_passes
from ssmlang.engines._kernel import on_cpu
from ssmlang.engines.base import EngineBase, Known, register
from ssmlang.engines.markov_chain import MarkovChain
from ssmlang.engines.requirements import Requirements


@partial(jax.tree_util.register_dataclass, data_fields=["chain"], meta_fields=["shared"])
@dataclass(frozen=True)
class ChainGroup:
    """Chains of one form that never meet: arrays as of `MarkovChain`, with a leading axis of the B members.

    `shared`: all members move alike, and log_transition has no such axis.
    """

    chain: MarkovChain
    shared: bool = False

    def each(self, function: Callable[..., Any], *others: Any) -> Any:
        """`function` of each member's chain, and of each member's part of the others."""
        chain = self.chain
        axes = MarkovChain(0, None if self.shared else 0, 0, chain.memory)  # type: ignore[arg-type]
        if self.shared:
            # A member's own program has the transition as it stands.
            one = lambda a, e, *o: function(MarkovChain(a, chain.log_transition, e, chain.memory), *o)
            return jax.vmap(one)(chain.log_initial, chain.log_emission, *others)
        return jax.vmap(function, in_axes=(axes, *(0 for _ in others)))(chain, *others)


@partial(jax.tree_util.register_dataclass, data_fields=["groups"], meta_fields=[])
@dataclass(frozen=True)
class Chains:
    """The program of `discrete`: groups of chains, all independent of each other."""

    groups: tuple[ChainGroup, ...]


class ChainsFiltered(NamedTuple):
    """Probabilities of the memory, group by group: of row t given the rows before, and given the rows up to it."""

    predicted: tuple[Float[Array, "B T N"], ...]
    filtered: tuple[Float[Array, "B T N"], ...]
    log_likelihood: Float[Array, " T"]


class ChainsSmoothed(NamedTuple):
    """Probabilities of the memory of each row given all rows, and the most probable path, group by group."""

    smoothed: tuple[Float[Array, "B T N"], ...]
    path: tuple[Int[Array, "B T"], ...]
    log_likelihood: Float[Array, " T"]


@register
@dataclass(frozen=True)
class Discrete(EngineBase):
    """Exact for programs of discrete states alone. `y` is not read: a chain holds the densities of its data.

    `parallel`: logarithmic depth in time by associative scans, for GPUs and long series of few values; None: on a GPU.
    The most probable path and draws of paths go row by row.
    """

    name: ClassVar[str] = "discrete"
    requires: ClassVar[Requirements] = Requirements(linear=False, gaussian=False, finite_order=True, discrete=True,
                                                    by_row=True)  # fmt: skip

    parallel: bool | None = None
    once: bool = False
    """The log-likelihood will be differentiated once, in reverse mode."""

    def for_data(self, known: Known, *, adjoint: bool = False) -> Self:
        """This engine, with its own derivative where that will do."""
        return replace(self, once=adjoint)

    def log_likelihood_terms(self, program: Chains | MarkovChain, y: Any = None) -> Float[Array, " T"]:
        """Log-density of each row given the rows before it."""
        one = (lambda c: _chain_parallel.forward(c).log_likelihood) if self._at_once else _chain_passes.terms
        return _added([g.each(one) for g in _groups(program)])

    def log_likelihood(self, program: Chains | MarkovChain, y: Any = None) -> Float[Array, ""]:
        """Log-density of what was observed."""
        if self.once and not self._at_once:
            return sum((jnp.sum(g.each(_chain_passes.total)) for g in _groups(program)), jnp.zeros(()))
        return jnp.sum(self.log_likelihood_terms(program, y))

    def filter(self, program: Chains | MarkovChain, y: Any = None) -> ChainsFiltered:  # type: ignore[override]
        """Predicted and filtered probabilities of each row."""
        found = [g.each(self._forward) for g in _groups(program)]
        exp = lambda logs: tuple(jnp.exp(x) for x in logs)
        return ChainsFiltered(exp(f.predicted for f in found), exp(f.filtered for f in found),
                              _added([f.log_likelihood for f in found]))  # fmt: skip

    def smooth(self, program: Chains | MarkovChain, y: Any = None, last: Any = None  # type: ignore[override]
               ) -> ChainsSmoothed:  # fmt: skip
        """Probabilities of each row given all rows, and the most probable path; `last`: the last row before padding."""
        groups = _groups(program)
        found = [g.each(self._smooth) for g in groups]
        paths = tuple(g.each(lambda c: _chain_passes.best_path(c, last)) for g in groups)
        return ChainsSmoothed(tuple(p for p, _ in found), paths, _added([v for _, v in found]))

    def step(self, program: Chains, before: Sequence[Float[Array, "B N"]] | None
             ) -> tuple[tuple[Float[Array, "B N"], ...], ChainsFiltered]:  # fmt: skip
        """One row of `filter`, which is the one row of the program; `before`: what the row before it left, log-
        probabilities of the memory."""
        given = [None] * len(program.groups) if before is None else before
        found = [g.each(_chain_passes.row) if b is None else g.each(_chain_passes.row, b)
                 for g, b in zip(program.groups, given)]  # fmt: skip
        exp = lambda logs: tuple(jnp.exp(x)[:, None] for x in logs)
        value = _added([f.log_likelihood[:, None] for f in found])
        return (tuple(f.filtered for f in found),
                ChainsFiltered(exp(f.predicted for f in found), exp(f.filtered for f in found), value))  # fmt: skip

    def draw_paths(
        self, program: Chains | MarkovChain, keys: Key[Array, " draws"]
    ) -> tuple[Int[Array, "draws B T"], ...]:
        """Draws of the memory of every row given all rows, group by group."""
        out = []
        for i, g in enumerate(_groups(program)):
            filtered = g.each(lambda c: self._forward(c).filtered)
            one = lambda key, g=g, filtered=filtered: g.each(
                _chain_passes.draw_path, filtered, jax.random.split(key, len(filtered))
            )
            out.append(jax.vmap(lambda key, i=i, one=one: one(jax.random.fold_in(key, i)))(keys))
        return tuple(out)

    @property
    def _at_once(self) -> bool:
        return not on_cpu() if self.parallel is None else self.parallel

    def _forward(self, chain: MarkovChain) -> _chain_passes.Forward:
        return (_chain_parallel if self._at_once else _chain_passes).forward(chain)

    def _smooth(self, chain: MarkovChain) -> tuple[Array, Array]:
        found = self._forward(chain)
        after = (_chain_parallel if self._at_once else _chain_passes).backward(chain)
        return jax.vmap(_chain_passes.normalised)(found.filtered + after), found.log_likelihood


def _groups(program: Chains | MarkovChain) -> Sequence[ChainGroup]:
    if isinstance(program, Chains):
        return program.groups
    one = MarkovChain(program.log_initial[None], program.log_transition, program.log_emission[None], program.memory)
    return (ChainGroup(one, shared=True),)


def _added(terms: Sequence[Array]) -> Array:
    """The sum over groups and their members."""
    whole = terms[0].sum(axis=0)
    for more in terms[1:]:
        whole = whole + more.sum(axis=0)
    return whole
