"""The switching linear-Gaussian program: a Markov chain of regimes that chooses the matrices of each row.

    s_t = A s_{t-1} + a + B e_t,      t = 1, 2, ...
    y_t = Z s_t + d + v_t,            v_t ~ N(0, R)

with every matrix that of the chain's memory m_t (the regime of row t, and of as many before it as the chain remembers).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
from jaxtyping import Array, Float

from ssmlang.engines.markov_chain import MarkovChain


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["chain", "A", "a", "Q", "Z", "d", "R", "mean", "cov"],
    meta_fields=["n"],
)
@dataclass(frozen=True)
class Switching:
    """A program with its numbers; arrays over the C values of the chain's memory, with a leading T where they change.

    A: (C, N, N), a: (C, N), Q = B B': (C, N, N), Z: (C, m, N), d: (C, m), R: (C, m, m), or with T before C; mean
    (C, N) and cov (C, N, N) of row 0 given the memory of row 0. `chain.log_emission` holds the densities of what
    depends on the regimes alone. The first `n` entries of s_t are x_t.
    """

    chain: MarkovChain
    A: Float[Array, "*T C N N"]
    a: Float[Array, "*T C N"]
    Q: Float[Array, "*T C N N"]
    Z: Float[Array, "*T C m N"]
    d: Float[Array, "*T C m"]
    R: Float[Array, "*T C m m"]
    mean: Float[Array, "C N"]
    cov: Float[Array, "C N N"]
    n: int

    @property
    def matrices(self) -> dict[str, tuple[Array, bool]]:
        """Each array of a row, and whether it changes from row to row."""
        ndim = {"A": 3, "a": 2, "Q": 3, "Z": 3, "d": 2, "R": 3}
        return {name: (getattr(self, name), getattr(self, name).ndim > k) for name, k in ndim.items()}


class SwitchingFiltered(NamedTuple):
    """Probabilities of the chain's memory, and moments of the mixtures over it."""

    predicted_probability: Float[Array, "T C"]
    probability: Float[Array, "T C"]
    mean: Float[Array, "T n"]
    cov: Float[Array, "T n n"]
    predicted_mean: Float[Array, "T n"]
    predicted_cov: Float[Array, "T n n"]
    observed_mean: Float[Array, "T m"]
    observed_cov: Float[Array, "T m m"]
    log_likelihood: Float[Array, " T"]


class SwitchingSmoothed(NamedTuple):
    """Given all rows: probabilities of the chain's memory, and moments of the states and of the signal."""

    probability: Float[Array, "T C"]
    mean: Float[Array, "T n"]
    cov: Float[Array, "T n n"]
    observed_mean: Float[Array, "T m"]
    observed_cov: Float[Array, "T m m"]
    log_likelihood: Float[Array, " T"]
