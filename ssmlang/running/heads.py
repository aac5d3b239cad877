"""The length of the diffuse phase for a model and data, where it does not depend on parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from ssmlang.data import Bound
from ssmlang.engines._diffuse_head import DiffuseHead, diffuse_head
from ssmlang.engines.program import Initial, LinearGaussian
from ssmlang.lowering.gaussian import GaussianLowering, Plan
from ssmlang.running.gaps import seen_in

LOOK = 2_000
"""Rows looked at; the diffuse phase of a series that needs more is left to the engine."""


def known_head(lowering: GaussianLowering, bounds: Sequence[Bound]) -> DiffuseHead | None:
    """The diffuse phase of the longest kind among the series; None where transition or emission hold parameters.

    Only what the diffuse directions meet matters: F, H and the columns themselves, no scale of any noise.
    """
    delta, s = lowering.form.initial.delta, lowering.structure
    if not delta or lowering.past:
        return None
    F, H = _known(lowering.plans["F"]), _known(lowering.plans["H"])
    columns = lowering.start.matrices["diffuse"].dense
    if F is None or H is None or columns.value is None:
        return None
    N = s.memory_size
    zeros = lambda *shape: np.zeros(shape)
    initial = Initial(zeros(N), zeros(N, 0), zeros(N, N), np.asarray(columns.value, float))  # type: ignore[arg-type]
    G, J = zeros(len(s.transition_noise), s.n, s.r), zeros(len(s.emission_noise), s.m, s.r)
    c: Any = zeros(s.n)
    d: Any = zeros(s.m)
    program = LinearGaussian(F, c, G, H, d, J, initial, s)  # type: ignore[arg-type]
    heads = [diffuse_head(program, seen(lowering, b, LOOK)) for b in bounds]
    if any(h.rows >= LOOK for h in heads):
        return None
    return DiffuseHead(max(h.rows for h in heads), all(h.certain for h in heads))


def _known(plan: Plan) -> np.ndarray | None:
    if plan.varies or plan.fixed.value is None:
        return None
    out = np.zeros(int(np.prod(plan.shape)))
    out[plan.fixed_at] = plan.fixed.value
    return out.reshape(plan.shape)


def seen(lowering: GaussianLowering, bound: Bound, rows: int) -> Bool[np.ndarray, "rows m"]:
    """Which entries are scored, in the first rows."""
    rows = min(bound.steps, rows)
    found = seen_in(lowering.model.observations, bound.observations, rows)
    unscored = (lowering.form.conditioned | lowering.form.unavailable)[:rows]
    found[: len(unscored)] &= ~unscored
    return found
