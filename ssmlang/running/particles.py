"""What engines that draw are told and asked at the border: keys from seeds, and whether their particles lived."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax import Array

from ssmlang.language.diagnostics import Diagnostic


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
