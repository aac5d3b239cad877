"""What engines that draw are told and asked at the border: keys from seeds, and whether their particles lived."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import Array

from ssmlang.language.diagnostics import Diagnostic, SsmWarning

FEW = 10.0
"""Effective draws below which what rests on them is not to be trusted: its logarithm is off by a third and more."""


def key_of(seed: int, number: Any) -> Array:
    """The key's words for series `number`: numbers, under the caller's own `jit` too."""
    with jax.ensure_compile_time_eval():
        return jax.random.key_data(jax.random.fold_in(jax.random.key(seed), number))


def dies(engine: Any) -> bool:
    """Whether an engine has particles, all of which may be left without weight."""
    return bool(engine.requires.random) and hasattr(engine, "particles")


def death(terms: np.ndarray) -> int | None:
    """The first row that no particle can have given. None too where all rows are so: the parameters allow no law."""
    rows = np.flatnonzero(np.isneginf(terms))
    return int(rows[0]) if len(rows) and len(rows) < max(len(terms), 2) else None


def died(engine: Any, row: str) -> Diagnostic:
    """E723: the particles of an engine have died."""
    particles, name = engine.particles, type(engine).__name__
    return Diagnostic(
        "E723", f"no particle can have given what is observed at {row}",
        why=(f"the observation has density zero, to rounding, at each of {particles:,} particles",),
        help=(f"look at that row, and at the parameters; or take more: {name}(particles={10 * particles})",),
    )  # fmt: skip


def warn_of_few(engine: Any, ess: np.ndarray, label: Callable[[int], str], stacklevel: int = 2) -> None:
    """W724 where the weight in some row of one series rests on few draws; `ess`: of each row, or one number of all."""
    paths = not hasattr(engine, "particles")
    word, count = ("samples", engine.samples) if paths else ("particles", engine.particles)
    at = int(np.argmin(ess))
    if not ess[at] < min(FEW, count / 50):
        return
    where = "all rows together" if paths else label(at)
    if paths:
        why = "the Gaussian law that they are drawn from is far from that of the states given the data"
        other = 'engine="particle"'
    else:
        why = ("what is observed there is sharp compared to where the rows before have sent them: the likelihood may "
               "be far too low, and other seeds are no check of it")  # fmt: skip
        other = 'engine="laplace" or engine="importance", where they take the program: they look at all rows at once'
    more = f"take more: {type(engine).__name__}({word}={10 * count})"
    message = f"at {where} all weight rests on {ess[at]:.1f} of {count:,} {word}"
    warnings.warn(SsmWarning(Diagnostic("W724", message, why=(why,), help=(more, other))), stacklevel=stacklevel + 1)


def warn_of_few_proposals(engine: Any, ess: float, stacklevel: int = 2) -> None:
    """W724 where paths of regimes were chosen among few that count; `ess`: how many, on average."""
    count = engine.proposals
    if not ess < 1 + min(1.0, (count - 1) / 4):
        return
    why = "the filter's mixture, which proposes them, is far from the law of the regimes given all data"
    help = (f"take more: IMM(proposals={10 * count}), or remember more: IMM(history={engine.history + 1})",
            'engine="rao_blackwell"')  # fmt: skip
    message = f"each path of the regimes was chosen among {ess:.1f} that count, of {count:,} drawn"
    warnings.warn(SsmWarning(Diagnostic("W724", message, why=(why,), help=help)), stacklevel=stacklevel + 1)
