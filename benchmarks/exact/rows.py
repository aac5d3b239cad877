"""The rows of the comparison: what is computed, by whom, and the goal against the fastest peer."""

from __future__ import annotations

from dataclasses import dataclass, field

PEERS = ("statsmodels", "dynamax", "cuthbert", "dynestyx", "pymc_extras", "simdkalman")
SUBJECT = "ssmlang"
QUICK = ("loglik-4-1-1000", "missing-10-3-1000", "gradient-1-1-1000", "smoother-4-1-1000")
"""The rows of a quick run, by ssmlang and statsmodels alone."""


@dataclass(frozen=True)
class Row:
    """One piece of work, timed side by side."""

    kind: str
    """loglik, varying, missing, gradient, smoother, panel_own, panel_own_gradient or panel_shared: a task of the
    contestants."""

    n: int
    m: int
    steps: int
    goal: float
    """How many times faster than the fastest peer ssmlang is to be."""

    system: str = "plain"
    """plain, slow (the gain does not converge within the data), varying: see `problems`."""

    series: int = 1
    floor_us: float | None = None
    """Microseconds a step of hand-written code for exactly this shape, measured once on a machine of the same kind."""

    left_out: dict[str, str] = field(default_factory=dict)
    """Contestants that are not asked, and why."""

    @property
    def name(self) -> str:
        slow = "-slow" if self.system == "slow" else ""
        series = f"-{self.series}" if self.series > 1 else ""
        return f"{self.kind.replace('_', '-')}{slow}-{self.n}-{self.m}{series}-{self.steps}"


LONG_PYTHON = {"simdkalman": "0.1 ms a row whatever the size"}
LONG_SCORE = {"statsmodels": "a score is a filter for each parameter, one after another: minutes a call"}
SLOW_ROOTS = {"cuthbert": "5 to 9 s a call, twenty times dynamax"}
PANEL_SCORE = {"statsmodels": "1,000 scores one after another: half a minute a call"}

ROWS = (
    Row("loglik", 1, 1, 1_000, goal=12, floor_us=0.035),
    Row("loglik", 1, 1, 10_000, goal=20, floor_us=0.021, left_out=LONG_PYTHON),
    Row("loglik", 4, 1, 1_000, goal=8, floor_us=0.117),
    Row("loglik", 4, 1, 10_000, goal=30, floor_us=0.069, left_out=LONG_PYTHON),
    Row("loglik", 4, 1, 100_000, goal=60, floor_us=0.040, left_out=LONG_PYTHON),
    Row("loglik", 10, 3, 1_000, goal=8, floor_us=0.47),
    Row("loglik", 10, 3, 10_000, goal=40, floor_us=0.19, left_out=LONG_PYTHON),
    Row("loglik", 50, 10, 10_000, goal=20, floor_us=0.90,
        left_out=LONG_PYTHON | {"cuthbert": "0.3 ms a row at this size"}),
    Row("varying", 4, 1, 1_000, goal=7, system="varying"),
    Row("varying", 10, 3, 1_000, goal=5, system="varying"),
    Row("missing", 4, 1, 1_000, goal=7, floor_us=0.131),
    Row("missing", 10, 3, 1_000, goal=5, floor_us=0.47),
    Row("gradient", 1, 1, 1_000, goal=30, floor_us=0.075),
    Row("gradient", 4, 1, 1_000, goal=20, floor_us=0.317),
    Row("gradient", 10, 3, 1_000, goal=8, floor_us=2.14),
    Row("gradient", 4, 1, 100_000, goal=300, floor_us=0.066,
        left_out=LONG_SCORE | {"cuthbert": "0.2 ms a row: 20 s a call"}),
    Row("gradient", 50, 10, 1_000, goal=2.5, system="slow", floor_us=116,
        left_out=LONG_SCORE | SLOW_ROOTS),
    Row("gradient", 50, 10, 1_000, goal=12, floor_us=15.6, left_out=LONG_SCORE | SLOW_ROOTS),
    Row("smoother", 4, 1, 1_000, goal=10, floor_us=0.47),
    Row("smoother", 4, 1, 10_000, goal=10, floor_us=0.26, left_out=LONG_PYTHON),
    Row("panel_own", 4, 1, 200, goal=10, series=1_000, floor_us=0.088),
    Row("panel_own_gradient", 4, 1, 200, goal=10, series=1_000, floor_us=0.36,
        left_out=PANEL_SCORE | SLOW_ROOTS),
    Row("panel_shared", 4, 1, 200, goal=1.5, series=1_000, floor_us=0.018),
)  # fmt: skip

COMPILE_SIZES = ((1, 1), (4, 1), (10, 3), (13, 1))
COMPILE_GOAL = 1.0
"""Seconds for the first call of the log-likelihood, and of its gradient, in a fresh process."""

LARGE_PANEL = 100_000
LARGE_STEPS = 200
MEMORY_GOAL = 24.0
"""GiB."""

NUTS_COLD_GOAL, NUTS_WARM_GOAL = 3.0, 20.0
NUTS_LEFT_OUT = {
    "dynestyx": "the same filter as dynamax under the same sampler; its cold run is in `benchmarks.nile_fit`",
    "cuthbert": "ten times dynamax's gradient under the same sampler",
    "statsmodels": "no sampler of gradients",
    "simdkalman": "no gradients",
}
SPECIAL = ("singular", "compile", "large-panel", "nuts")
NAMES = (*(row.name for row in ROWS), *SPECIAL)
