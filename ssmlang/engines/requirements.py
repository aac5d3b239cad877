"""What an engine can need of a program. Plain Python: the compiler judges by it before JAX is imported."""

from __future__ import annotations

from typing import NamedTuple


class Requirements(NamedTuple):
    """What an engine needs of a program; checked by the compiler before anything runs."""

    linear: bool
    """Whether it runs linear-Gaussian programs; else it runs `ssmlang.engines.nonlinear.Nonlinear` ones."""
    gaussian: bool
    finite_order: bool
    """Whether it cannot take a sum over the whole past, but as a companion state of the series' length."""
    discrete: bool = False
    """Whether it runs `ssmlang.engines.discrete.Chains`: every state has finitely many values."""
    switching: bool = False
    """Whether it runs `ssmlang.engines.switching.Switching`: discrete states choose among linear-Gaussian equations."""
    gradients: bool = True
    """Whether its log-likelihood can be differentiated; without, an engine takes no part in `fit`."""
    exact: bool = True
    proper_start: bool = False
    """No entry of the first memory is `Diffuse()`."""
    process_noise: bool = False
    """The noise of each row's states has full rank."""
    observation_noise: bool = False
    """The noise of each row's observations has full rank, apart from that of the states."""
    fresh_noise: bool = False
    """Every noise is read in its own row alone, and by states or by observations, not by both."""
    surprises: bool = False
    """No observation after row 0 is known exactly from the row before: each reads a noise of its row, by itself or
    through the states, that can be told from the others'."""
    continuous: bool = False
    """Of a nonlinear program: every state is a real number."""
    moments: bool = False
    """Of a nonlinear program: every law has a mean and a variance."""
    emission_density: bool = False
    """Of a nonlinear program: the observations have a density given the state."""
    curved: bool = False
    """Of a nonlinear program: the log-densities of its observations bend with the state, as Newton's method needs."""
    random: bool = False
    """Whether the engine draws: its methods take a key beside the program and the data."""
    part_linear: bool = False
    """Of a nonlinear program: a part of its states is linear and Gaussian given the others, and another is not."""
    normal_noise: bool = False
    """Of a nonlinear program: the laws of its states are maps of standard normal numbers."""
    joint: bool = False
    """Whether it gives the law of states and parameters together, for `fit` and `numpyro` alone."""
    augmented: bool = False
    """Of a nonlinear program: some parameter is augmented."""
    smooths: bool = True
    """Whether it gives the law of a row given all data."""
    diffuse: bool = False
    """Of a nonlinear program: whether it takes a start that is flat; others of them need a law to start from."""
    few: int = 0
    """Of a nonlinear program: how many entries its states and augmented parameters may have together; 0: any number"""
    unmoved: bool = False
    """Of a nonlinear program: no state is moved by chance, nor starts by it: each is a function of the parameters, the
    inputs and earlier observations."""
    by_row: bool = False
    """Whether it takes rows one at a time, for streams"""
