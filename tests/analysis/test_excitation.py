"""What data excite: against Gramians written out, and what is said of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ssmlang
from ssmlang.analysis.excitation import excited
from ssmlang.analysis.findings import Finding

PROGRAM = """param a, b, s ~ HalfNormal(1)
input X
state level, beta
obs y
init level, beta ~ Normal(0, 1)
level[t] ~ Normal(level[t-1], a)
beta[t] ~ Normal(beta[t-1], b)
y[t] ~ Normal(level[t] + beta[t] * X[t], s)
"""


def found(**data: Any) -> Finding:
    report = ssmlang.compile(PROGRAM).check(data)
    (finding,) = [f for f in report.findings if f.property == "excitation"]
    return finding


def test_alpha_and_beta_are_the_extreme_eigenvalues_over_windows() -> None:
    rng = np.random.default_rng(3)
    T, n = 300, 3  # every window counts, of long data too
    F = [np.linalg.qr(rng.normal(size=(n, n)))[0] for _ in range(T)]
    L = [rng.normal(size=(1, n)) for _ in range(T)]
    e = excited(F, L)
    smallest, largest = np.inf, 0.0
    for t in range(T - e.rows + 1):
        stacked, transfer = [L[t]], np.eye(n)
        for k in range(t + 1, t + e.rows):
            transfer = F[k] @ transfer
            stacked.append(L[k] @ transfer)
        s = np.linalg.svd(np.concatenate(stacked), compute_uv=False) ** 2
        smallest, largest = min(smallest, s[-1] if len(s) == n else 0.0), max(largest, s[0])
    assert e.full and e.rows >= n
    assert e.alpha == pytest.approx(smallest, rel=1e-6) and e.beta == pytest.approx(largest)


def test_inputs_that_move_excite_every_direction() -> None:
    finding = found(y=[0.0] * 40, X=[1.0, 2.0, 4.0, 3.0] * 10)
    assert finding.verdict == "proved" and "N = 2" in finding.reason
    assert finding.details[0].startswith("least excited: (level, beta) = ") and len(finding.details) == 1
    long = found(y=[0.0] * 500, X=[1.0, 2.0, 4.0, 3.0] * 125)
    assert long.details[1] == "of windows within the first 400 of 500 rows"


def test_an_input_that_stands_still_leaves_a_direction_out() -> None:
    finding = found(y=[0.0] * 40, X=[2.0] * 40)
    assert finding.verdict == "refuted" and finding.code == "W605"
    assert "(level, beta) = (1, -0.5)" in finding.reason


def test_what_is_missing_excites_nothing() -> None:
    X = [1.0] * 20 + [3.0] * 20
    assert found(y=[0.0] * 40, X=X).verdict == "proved"
    assert found(y=[0.0] * 20 + [np.nan] * 20, X=X).verdict == "refuted"


def test_the_least_of_several_data_sets_is_said() -> None:
    model = ssmlang.compile(PROGRAM)
    moving, still = {"y": [0.0] * 9, "X": list(range(9))}, {"y": [0.0] * 9, "X": [1.0] * 9}
    report = model.check([moving, still])
    assert [f.verdict for f in report.findings if f.property == "excitation"] == ["refuted"]


def test_a_program_without_inputs_has_nothing_to_be_excited() -> None:
    report = ssmlang.compile(PROGRAM.replace(" * X[t]", " * 2").replace("input X\n", "")).check({"y": [0.0] * 9})
    assert not [f for f in report.findings if f.property == "excitation"]
