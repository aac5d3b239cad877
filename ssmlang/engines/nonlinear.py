"""The general program: states of any law, seen through observations of any law.

    s_0 = first(e_0),                     e_0 ~ N(0, I)
    s_t = transition(t, s_{t-1}, e_t),    e_t ~ N(0, I_r),        t = 1, ..., T-1
    y_t ~ a law that depends on s_t,                              t = 0, ..., T-1

s_t is the memory of row t: x_t first (n entries: states, then augmented parameters on their unconstrained scale), then
older rows of what is read at a lag, and noises that are read later or by an observation too. In the maps of standard
normal numbers a law that is not Gaussian stands as the Gaussian one of its mean and variance; `sample_first` and
`sample` draw from the laws themselves. All functions are pure, of one row and one memory; NaN in y is missing.

`statistic` says in which numbers observations enter an engine that works with moments: those of y themselves, but a
category as indicators of all categories but the first, an angle as its cosine and sine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from jax import Array
from jaxtyping import Bool, Float, Int, Key

FLAT = 1e6
"""The standard deviation of what stands for a flat law: off by the square of how much smaller the states are."""
UNDONE = math.log(FLAT) + 0.5 * math.log(2 * math.pi)
"""What the log-density of such a law lacks to that of a flat one, which is zero."""


class Law(NamedTuple):
    """Mean and covariance."""

    mean: Float[Array, " k"]
    cov: Float[Array, "k k"]


class Facts(NamedTuple):
    """What is known of a program before any number is. Hashable."""

    n: int
    """entries of x"""
    N: int
    """entries of the memory"""
    first_noises: int
    """length of e_0"""
    noises: int
    """r, the length of e_t"""
    m: int
    """entries of y"""
    k: int
    """entries of the statistic"""
    definitions: int = 0
    """entries of `definitions`"""
    additive: bool = False
    """s_t is affine in e_t, with a loading that may depend on s_{t-1}"""
    linear: bool = False
    """s_0 and s_t are affine in s_{t-1} and e_t together, with coefficients of the row alone"""
    gaussian_transition: bool = False
    """the maps of standard normal numbers give the laws of s_0 and s_t themselves"""
    gaussian_step: bool = False
    """as `gaussian_transition`, of s_t given s_{t-1} alone"""
    gaussian_emission: bool = False
    """y_t given s_t is Gaussian"""
    counted: tuple[int, ...] = ()
    """entries of y_t whose law given s_t is not Gaussian; all of them where some is and observations of a row read each
    other"""
    counts: bool = False
    """every entry of y_t is a count or a category"""
    steady_emission: bool = False
    """the covariance of the statistic of y_t given s_t does not depend on s_t"""
    linear_emission: bool = False
    """`steady_emission`, and the mean of the statistic is affine in s_t"""
    density: bool = False
    """x_t given x_{t-1} has the density `log_transition`; nothing but definitions reads older rows or noises"""
    discrete: tuple[int, ...] = ()
    """entries of the memory that take whole numbers alone"""
    apart: bool = False
    """entry i of s_t is affine in entry i of s_{t-1} and in a noise of its own, and reads nothing else that moves; so
    is entry i of s_0 in a number of its own"""
    augmented: tuple[int, ...] = ()
    """entries of the memory that are augmented parameters of the row itself, each with a step of its own"""
    flat: int = 0
    """how many numbers of row 0 and before are flat: of sd `FLAT`, which `log_emission` of row 0 undoes"""


@dataclass(frozen=True)
class Nonlinear:
    """A program with its numbers, as functions of the row t, the memory s and the data row y."""

    facts: Facts
    first: Callable[[Float[Array, " r0"]], Float[Array, " N"]]
    transition: Callable[[Int[Array, ""], Float[Array, " N"], Float[Array, " r"]], Float[Array, " N"]]
    emission: Callable[[Int[Array, ""], Float[Array, " N"], Float[Array, " m"]], Law]
    """Mean and covariance of the statistic; observations that others of their row read are taken from y where seen"""
    statistic: Callable[[Float[Array, " m"]], Float[Array, " k"]]
    """The statistic of a row, NaN where missing"""
    observed: Callable[[Int[Array, ""], Float[Array, " N"]], Law]
    """Mean and covariance of y_t itself, none of it seen"""
    log_emission: Callable[[Int[Array, ""], Float[Array, " N"], Float[Array, " m"]], Float[Array, ""]]
    """log-density of what is there in y"""
    sample_first: Callable[[Key[Array, ""]], Float[Array, " N"]]
    sample: Callable[[Key[Array, ""], Int[Array, ""], Float[Array, " N"]], Float[Array, " N"]]
    """A draw of s_t given s_{t-1}"""
    sample_observed: Callable[[Key[Array, ""], Int[Array, ""], Float[Array, " N"]], Float[Array, " m"]]
    """A draw of y_t given s_t"""
    log_transition: Callable[[Int[Array, ""], Float[Array, " N"], Float[Array, " N"]], Float[Array, ""]]
    """log-density of x_t given x_{t-1}: (t, s_{t-1}, s_t); where `facts.density`"""
    joined: Callable[[Float[Array, " N"], Float[Array, " N"]], Float[Array, " N"]]
    """The memory of a row whose x is that of the second memory, after a row with the first"""
    definitions: Callable[[Int[Array, ""], Float[Array, " N"]], Float[Array, " d"]]
    """Functions of the memory whose moments are wanted beside those of x"""
    exists: Bool[Array, ""] | bool = True
    """False where the parameters allow no initial law (no stationary one, say): the likelihood is zero there"""
    log_emission_rounded: (
        Callable[[Int[Array, ""], Float[Array, " N"], Float[Array, " m"]], Float[Array, ""]] | None
    ) = None
    """`log_emission` with corners rounded off, to find a Gaussian law by; None where it has none"""
    marks: Callable[[Float[Array, " N"]], Float[Array, " d"]] | None = None
    """Ones and zeros: which value each discrete entry of x has; None where none is, or there are too many values"""
    log_first: Callable[[Float[Array, " N"]], Float[Array, ""]] | None = None
    """log-density of x_0, known numbers among its entries left out; None where it has none"""


class Passing(NamedTuple):
    """Means and covariances of the states in each row ahead of its observations and after them, and its log-density."""

    predicted_mean: Float[Array, "T n"]
    predicted_cov: Float[Array, "T n n"]
    mean: Float[Array, "T n"]
    cov: Float[Array, "T n n"]
    log_likelihood: Float[Array, " T"]


class Estimated(NamedTuple):
    """What an engine finds of each row, given the data up to it (filter) or all data (smoother).

    Moments as in `ssmlang.engines.base.Filtered`; the smoother gives no predicted ones, and as `observed_*` the moments
    of the mean of y_t given s_t. `definition_*`: of `Nonlinear.definitions`. `ess`: effective number of particles.
    `paths`: draws of x given all data. `sd` in place of `cov`: where an engine holds no full covariance, or it would be
    too large. `passed`: of a smoother, what the filter that it began with had found, where that is at hand.
    `marks`: means of `Nonlinear.marks`, the probabilities of values. `best`: the most probable path of discrete x.
    """

    mean: Float[Array, "T n"]
    cov: Float[Array, "T n n"] | None
    observed_mean: Float[Array, "T m"]
    observed_cov: Float[Array, "T m m"]
    log_likelihood: Float[Array, " T"]
    predicted_mean: Float[Array, "T n"] | None = None
    predicted_cov: Float[Array, "T n n"] | None = None
    definition_mean: Float[Array, "T d"] | None = None
    definition_sd: Float[Array, "T d"] | None = None
    ess: Float[Array, " T"] | None = None
    paths: Float[Array, "P T n"] | None = None
    sd: Float[Array, "T n"] | None = None
    predicted_sd: Float[Array, "T n"] | None = None
    passed: Passing | None = None
    marks: Float[Array, "T d"] | None = None
    predicted_marks: Float[Array, "T d"] | None = None
    best: Float[Array, "T n"] | None = None
