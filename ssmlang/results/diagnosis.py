"""What the innovations say of a model: one verdict a test and observation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from ssmlang.data.time import TimeBase
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.results import residual_tests as tests
from ssmlang.results.residual_tests import LEVEL, Cumulative, Tested

if TYPE_CHECKING:
    import pandas as pd

    from ssmlang.results.style import Plot


@dataclass(frozen=True)
class Finding:
    """One test of one observation's residuals, with what it says in words."""

    observation: str
    test: str
    statistic: float
    p: float
    verdict: str

    @property
    def passed(self) -> bool | None:
        """Whether the test speaks for the model; None where there were too few residuals."""
        return None if np.isnan(self.p) else self.p >= LEVEL

    def to_dict(self) -> dict[str, Any]:
        number = lambda x: None if np.isnan(x) else float(x)
        return {"observation": self.observation, "test": self.test, "statistic": number(self.statistic),
                "p": number(self.p), "passed": self.passed, "verdict": self.verdict}  # fmt: skip


@dataclass(frozen=True)
class Diagnosis:
    """Tests of the standardized innovations, which are independent standard normal numbers if the model is right.

    `residuals`: the Dataset of `Model.residuals`. Prints as a table of verdicts, shows as HTML in a notebook;
    `to_dict()`, `to_frame()` and `plot()` give the rest. Parameters are taken as known: where they were fitted to the
    same data, p-values are a little too large.
    """

    residuals: xr.Dataset
    lags: int | None = None

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.residuals.attrs.get("model", ""))

    @property
    def observations(self) -> list[str]:
        """The names of the observations' entries."""
        return [str(name) for name in self.residuals["obs"].values]

    @property
    def ok(self) -> bool:
        """Whether no test speaks against the model."""
        return all(f.passed is not False for f in self.findings)

    def standardized(self, observation: str) -> np.ndarray:
        """The standardized innovations of one entry, (T,); NaN where there is none."""
        return np.asarray(self.residuals["standardized"].sel(obs=observation).values, float)

    def cusum(self, observation: str) -> Cumulative:
        """The cumulative sum of one entry's residuals."""
        return tests.cusum(self.standardized(observation))

    def cusum_of_squares(self, observation: str) -> Cumulative:
        """The cumulative sum of squares of one entry's residuals."""
        return tests.cusum_of_squares(self.standardized(observation))

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """All tests, observation after observation."""
        return tuple(f for name in self.observations for f in self._of(name))

    def _of(self, name: str) -> list[Finding]:
        e = self.standardized(name)
        count = len(tests.there(e))
        normality, skew, kurtosis = tests.jarque_bera(e)
        tails = ("a tail to the right, " if skew > 0 else "a tail to the left, ") if abs(skew) > 0.3 else ""
        tails += "heavy tails" if kurtosis > 3 else "light tails"
        H = tests.heteroskedasticity(e)
        sums, squares = self.cusum(name), self.cusum_of_squares(name)
        lags = min(self.lags or tests.default_lags(count), max(len(e) - 1, 1))

        def said(test: str, found: Tested, good: str, bad: str) -> Finding:
            words = "too few residuals to say" if np.isnan(found.p) else bad if found.p < LEVEL else good
            return Finding(name, test, found.statistic, found.p, words)

        return [
            said("Ljung-Box", tests.ljung_box(e, lags), f"no autocorrelation up to lag {lags}",
                 f"autocorrelated up to lag {lags}: the dynamics miss something"),
            said("Jarque-Bera", normality, "normal",
                 f"not normal: {tails} (skewness {skew:.2f}, kurtosis {kurtosis:.2f})"),
            said("H", H, "the variance stays the same",
                 f"the variance {'grows' if H.statistic > 1 else 'falls'}: the last third has {H.statistic:.3g} times "
                 "that of the first"),
            said("CUSUM", sums.test, "the mean stays the same", f"the mean moves{self._since(sums)}"),
            said("CUSUM of squares", squares.test, "the variance is stable throughout",
                 f"the variance changes{self._since(squares)}"),
        ]  # fmt: skip

    def _since(self, sums: Cumulative) -> str:
        row = sums.first_crossing
        if row is None:
            return ""
        return f": outside its bounds from {TimeBase.from_coordinate(self.residuals['time']).label(row)}"

    # ------------------------------------------------------------------------------------------------- shown as

    def to_dict(self) -> dict[str, Any]:
        """Plain data: `model`, `ok`, `level`, and a dict for each test."""
        return {"model": self.model, "ok": self.ok, "level": LEVEL, "tests": [f.to_dict() for f in self.findings]}

    def to_frame(self) -> pd.DataFrame:
        """A row for each test: observation, test, statistic, p, verdict."""
        import pandas as pd

        return pd.DataFrame([f.to_dict() for f in self.findings]).drop(columns="passed")

    def __str__(self) -> str:
        rows = [(f.observation, f.test, _number(f.statistic), _p(f.p), f.verdict) for f in self.findings]
        table = [("", "test", "statistic", "p", "verdict"), *rows]
        widths = [max(len(row[i]) for row in table) for i in range(4)]
        line = lambda r: (f"{r[0]:<{widths[0]}}  {r[1]:<{widths[1]}}  {r[2]:>{widths[2]}}  {r[3]:>{widths[3]}}  {r[4]}")
        return "\n".join([f"residuals of {self.model}: {self._summary}", *map(line, table)])

    __repr__ = __str__

    @property
    def _summary(self) -> str:
        bad = sum(f.passed is False for f in self.findings)
        if not any(f.passed is not None for f in self.findings):
            return "too few to say anything"
        if not bad:
            return "nothing speaks against the model"
        return f"{bad} of {len(self.findings)} tests against the model"

    def _repr_html_(self) -> str:
        from ssmlang.results.html import fragment

        return fragment(*self._blocks(), heading=f"residuals of {self.model}")

    def page(self) -> str:
        """A whole HTML document, the picture inside."""
        import base64

        from ssmlang.results.html import page

        figures = [self.plot(name) for name in self.observations]
        sources = [f"data:image/png;base64,{base64.b64encode(f._repr_png_()).decode('ascii')}" for f in figures]
        pictures = [f'<p><img alt="residuals" style="max-width:100%" src="{source}"></p>' for source in sources]
        return page(*self._blocks(), *pictures, heading=f"residuals of {self.model}")

    def _blocks(self) -> list[str]:
        from html import escape

        from ssmlang.results.html import Html, table

        tone = {True: "good", False: "bad", None: "dim"}
        rows = [
            [Html(f"<code>{escape(f.observation)}</code>"), f.test, _number(f.statistic), _p(f.p),
             Html(f'<span class="{tone[f.passed]}">{escape(f.verdict)}</span>')]
            for f in self.findings
        ]  # fmt: skip
        columns = ["", "test", "statistic", "p", "verdict"]
        return [f"<p>{escape(self._summary)}</p>", table(columns, rows, numbers=(2, 3))]

    def plot(self, observation: str | None = None) -> Plot:
        """Residuals over time, their histogram, quantiles and correlogram, and both cumulative sums, of one observation
        (the first, if none is named)."""
        from ssmlang.results.diagnosis_plot import plot_diagnosis

        return plot_diagnosis(self, self.observations[0] if observation is None else observation)


def diagnosis(residuals: Any, lags: Any = None) -> Any:
    """The diagnosis of residuals, or of each of a list of them. Raises E451 for `lags` that is no number of rows."""
    if lags is not None and (isinstance(lags, bool) or not isinstance(lags, Integral) or lags < 1):
        raise SsmError(Diagnostic("E451", f"lags={lags!r} is not a number of rows", help=("a whole number, or None",)))
    lags = None if lags is None else int(lags)
    if isinstance(residuals, list):
        return [Diagnosis(each, lags) for each in residuals]
    return Diagnosis(residuals, lags)


def _number(value: float) -> str:
    return "." if np.isnan(value) else f"{value:.3g}"


def _p(value: float) -> str:
    return "." if np.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"
