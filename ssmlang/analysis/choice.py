"""Which engine `auto` takes for what is asked, and the rule in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ssmlang.model.blocks import blocks
from ssmlang.model.linear import LinearForm

Verb = Literal["likelihood", "filter", "smooth", "forecast", "fit", "step"]

PARALLEL_ROWS = 20
"""From so many rows on `parallel` is quicker than `kalman` on a GPU, whatever is asked: measured up to ten
states on an H100 (docs/gpu.md)."""
MANY_MEMBERS = 300
"""So many independent parts of one pattern fill a GPU row by row, and `kalman` does the least work for each: measured
with four states and 200 rows, where it takes a third of the time of `parallel` for 1,000 parts and as much for 100."""
COMPANION = 100
"""Up to so many numbers of memory (states times rows) a sum over the whole past is filtered on a state that holds all
rows; beyond, the joint law of all rows costs less, gradients above all (measured on two cores, n = m = 1)."""
DENSE_ROWS = 5_000
"""Up to so many numbers observed (observations a row times rows) their joint covariance is formed and factored."""


@dataclass(frozen=True)
class Task:
    """What is asked of an engine: the verb, the rows of the longest series (None: not known yet), the precision,
    whether it runs on a GPU, the method of a fit, and whether an observation that a later row reads is missing or still
    to come."""

    verb: Verb = "likelihood"
    steps: int | None = None
    dtype: str = "float64"
    gpu: bool = False
    method: str = "nuts"
    unseen: bool = False
    gap: bool = False
    """Whether such an observation is missing before the next row that has one."""
    device: str | None = None
    """Where it computes; None: where JAX does."""


def preferred(form: LinearForm, task: Task) -> tuple[str, ...]:
    """Engines in the order in which `auto` takes the first that the program fits."""
    markov = ("square_root", "kalman") if task.dtype == "float32" else ("kalman", "square_root")
    if not form.whole_past:
        if task.gpu and task.steps is not None and task.steps >= PARALLEL_ROWS and _members(form) < MANY_MEMBERS:
            return ("parallel", *markov)
        return markov
    if task.steps is None or form.stacking.n * task.steps <= COMPANION:
        return (*markov, *_joint(form))
    if form.stacking.m * task.steps <= DENSE_ROWS:
        return (*_joint(form), "growing", "dual", *markov)
    return ("dual", *_joint(form))


def _members(form: LinearForm) -> int:
    """Of the largest group of independent parts that are alike."""
    return max((g.members for g in blocks(form).groups), default=1)


def _joint(form: LinearForm) -> tuple[str, ...]:
    """The engines on the joint law of all rows, the quicker one first: weights that are the same in every row make the
    sweeps of wiener_hopf convolutions."""
    sums = [rows.terms["past", 0] for rows in (form.transition, form.emission) if ("past", 0) in rows.terms]
    return ("batch", "wiener_hopf") if any(m.varying for m in sums) else ("wiener_hopf", "batch")


def rule(form: LinearForm) -> tuple[str, ...]:
    """`preferred` in words."""
    if not form.whole_past:
        return (
            "auto takes kalman; square_root where dtype='float32'; "
            f"on a GPU, from {PARALLEL_ROWS:,} rows on, parallel, but for panels of {MANY_MEMBERS:,} parts and more",
        )
    n, m = form.stacking.n, form.stacking.m
    first, last = COMPANION // max(n, 1), DENSE_ROWS // max(m, 1)
    return (
        f"auto takes kalman up to {first:,} rows (square_root where dtype='float32'), on a state that holds them all;",
        f"from there to {last:,} rows {_joint(form)[0]}, on the joint law of all rows; beyond, dual",
    )
