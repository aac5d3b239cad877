"""The side-by-side benchmarks: their reference is right, children answer, the page says what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import engine_errors
from benchmarks.environments import SHARED
from benchmarks.exact import problems, reference, results
from benchmarks.exact.__main__ import wanted
from benchmarks.exact.measure import disagreement, fastest_peer, ratio
from benchmarks.exact.page import PAGE, beyond_floor, page
from benchmarks.exact.rows import NAMES, QUICK, ROWS, Row
from benchmarks.exact.session import Child, Failed

ROOT = Path(__file__).resolve().parent.parent


def dense_log_likelihood(given: problems.Arrays) -> float:
    """Of one series, as one Gaussian vector of all that was observed."""
    y, steps, n = given["y"], len(given["y"]), given["F"].shape[-1]
    at = lambda name, t: given[name][t] if given[name].ndim == 3 else given[name]
    to_states = np.zeros((steps * n, steps * n))
    for t in range(steps):
        rows = slice(t * n, (t + 1) * n)
        if t:
            to_states[rows] = at("F", t) @ to_states[(t - 1) * n : t * n]
        to_states[rows, rows] = np.linalg.cholesky(given["Q"]) if t else np.eye(n)
    H = np.zeros((y.size, steps * n))
    for t in range(steps):
        H[t * y.shape[1] : (t + 1) * y.shape[1], t * n : (t + 1) * n] = at("H", t)
    cov = H @ to_states @ to_states.T @ H.T + np.kron(np.eye(steps), given["R"])
    seen = ~np.isnan(y.ravel())
    values, cov = y.ravel()[seen], cov[np.ix_(seen, seen)]
    _, logdet = np.linalg.slogdet(cov)
    return -0.5 * float(seen.sum() * np.log(2 * np.pi) + logdet + values @ np.linalg.solve(cov, values))


@pytest.mark.parametrize(("kind", "system"), [("loglik", "plain"), ("missing", "plain"), ("varying", "varying")])
def test_the_reference_is_the_density_of_all_observations(kind: str, system: str) -> None:
    given = problems.problem(Row(kind, 3, 2, 12, goal=1, system=system))
    assert reference.log_likelihood(given).real == pytest.approx(dense_log_likelihood(given), rel=1e-11)


def test_the_reference_of_a_panel_is_the_sum_over_its_series() -> None:
    given = problems.problem(Row("panel_own", 2, 1, 7, goal=1, series=3))
    parts = [dense_log_likelihood({k: v[i] for k, v in given.items()}) for i in range(3)]
    assert reference.log_likelihood(given).real == pytest.approx(sum(parts), rel=1e-11)


def test_the_slope_is_a_difference_quotient() -> None:
    given = problems.problem(Row("gradient", 2, 1, 9, goal=1))
    value, slope = reference.value_and_slope(given)
    along, h = reference.direction(given), 1e-5
    moved = [dense_log_likelihood({**given, **{k: given[k] + s * h * along[k] for k in along}}) for s in (1, -1)]
    assert value == pytest.approx(dense_log_likelihood(given), rel=1e-11)
    assert slope == pytest.approx((moved[0] - moved[1]) / (2 * h), rel=1e-6)


def test_the_gain_of_a_slow_system_does_not_converge() -> None:
    given = problems.problem(Row("gradient", 3, 2, 1_000, goal=1, system="slow"))
    P, traces = np.eye(3), []
    for _ in range(1_000):
        S = given["H"] @ P @ given["H"].T + given["R"]
        P = P - P @ given["H"].T @ np.linalg.solve(S, given["H"] @ P)
        P = given["F"] @ P @ given["F"].T + given["Q"]
        traces.append(np.trace(P))
    assert abs(traces[-1] / traces[-50] - 1) > 1e-2


def test_an_answer_that_is_off_disagrees() -> None:
    given = problems.problem(Row("gradient", 2, 1, 9, goal=1))
    value, slope = reference.value_and_slope(given)
    expected = {"value": np.asarray(value), "slope": np.asarray(slope)}
    gradient = {f"d{k}": np.zeros_like(given[k]) for k in "FHQR"}
    assert disagreement({"value": np.asarray(value), **gradient}, expected, given) == float("inf")
    assert disagreement({"value": np.asarray(value * 1.001)}, {"value": expected["value"]}, given) > 1e-4
    assert disagreement({"value": np.asarray(np.nan)}, {"value": expected["value"]}, given) == float("inf")


def test_a_child_answers_and_says_what_is_wrong(tmp_path: Path) -> None:
    given = problems.problem(Row("loglik", 2, 1, 9, goal=1))
    np.savez(tmp_path / "problem.npz", **given)
    child = Child("statsmodels")
    try:
        with pytest.raises(Failed, match="no sampler of gradients") as lacking:
            child.ask(60, "prepare", task="nuts", problem=str(tmp_path / "problem.npz"))
        assert lacking.value.lacking
        with pytest.raises(Failed, match="FileNotFoundError"):
            child.ask(60, "prepare", task="loglik", problem=str(tmp_path / "none.npz"))
        child.ask(60, "prepare", task="loglik", problem=str(tmp_path / "problem.npz"))
        assert len(child.ask(60, "time", calls=4)["seconds"]) == 4
        child.ask(60, "answer", to=str(tmp_path / "answer.npz"))
        with np.load(tmp_path / "answer.npz") as answer:
            assert float(answer["value"]) == pytest.approx(dense_log_likelihood(given), rel=1e-9)
        with pytest.raises(Failed, match="no answer within"):
            child.ask(0.0, "time", calls=100_000)
    finally:
        child.close()


def record(peer: float, own: float, *, agrees: bool = True) -> dict:
    timed = lambda median, agrees: {"median": median, "lower_quartile": median, "best": median, "calls": 3,
                                    "build": 0.1, "first": 0.2, "difference": 0.0 if agrees else 1.0,
                                    "agrees": agrees}  # fmt: skip
    return {"date": "2026-01-01", "load": 0.1, "kind": "loglik", "n": 4, "m": 1, "steps": 1_000, "series": 1,
            "system": "plain", "goal": 8.0, "floor_us": 0.1,
            "contestants": {"ssmlang": timed(own, True), "statsmodels": timed(peer, agrees),
                            "dynamax": timed(5 * peer, True), "cuthbert": {"error": "no answer"}}}  # fmt: skip


def test_the_fastest_peer_is_one_that_agrees() -> None:
    right, wrong = record(1e-3, 1e-4), record(1e-3, 1e-4, agrees=False)
    assert (fastest_peer(right), ratio(right)) == ("statsmodels", pytest.approx(10))
    assert (fastest_peer(wrong), ratio(wrong)) == ("dynamax", pytest.approx(50))
    assert not beyond_floor(right) and beyond_floor(record(1e-4, 1e-4))


@pytest.mark.parametrize(("own", "word"), [(1e-4, "| yes |"), (1e-3, "| **no** |")])
def test_the_page_says_whether_a_goal_is_met(own: float, word: str) -> None:
    said = page(
        {**results.empty(), "absent": {"simdkalman": "no Python"}, "rows": {"loglik-4-1-1000": record(1e-3, own)}}
    )
    (line,) = [part for part in said.splitlines() if part.startswith("| log-likelihood, (4, 1), T = 1,000")]
    assert line.endswith(word)
    assert "cuthbert: no answer" in said and "simdkalman (no Python)" in said
    assert "`gradient-slow-50-10-1000`" in said.split("not measured yet")[1]


def test_the_page_is_that_of_the_numbers() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(results.load(results.DEFAULT), results.elsewhere()), (
        "run `python -m benchmarks.exact --page`"
    )


def test_so_is_that_of_the_errors_of_engines() -> None:
    found = json.loads(engine_errors.RESULTS.read_text())
    assert list(found) == list(engine_errors.CASES)
    assert engine_errors.PAGE.read_text(encoding="utf-8") == engine_errors.page(found), (
        "run `python -m benchmarks.engine_errors --page`"
    )


def test_rows_are_found_by_name_and_pattern() -> None:
    assert len(set(NAMES)) == len(NAMES) and set(QUICK) < {row.name for row in ROWS}
    assert wanted(["loglik-50-*", "nuts"], NAMES) == ["loglik-50-10-10000", "nuts"]
    with pytest.raises(SystemExit, match="no row is called"):
        wanted(["loglick"], NAMES)


def test_every_row_has_a_task_of_that_kind() -> None:
    source = (ROOT / "benchmarks" / "peers" / "ssmlang_exact.py").read_text(encoding="utf-8")
    assert all(f'"{row.kind}": ' in source for row in ROWS)


@pytest.mark.slow
def test_a_quick_run_agrees_with_statsmodels(tmp_path: Path) -> None:
    path = tmp_path / "quick.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.exact", "--quick", "--results", str(path)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert set(found) == set(QUICK)
    for name, row in found.items():
        for who in SHARED:
            one = row["contestants"][who]
            assert one["agrees"] and one["calls"] > 0 and 0 < one["best"] <= one["median"], (name, who, one)


def test_a_system_is_learnt_from_its_own_context() -> None:
    from benchmarks import in_context

    table = in_context.measured(2, n=1, m=1, context=12, count=6, seed=3)
    distance, error = (np.array([table[name][i] for name in table]) for i in (0, 1))
    assert (distance[0] == 0).all() and np.isfinite(distance).all() and np.isfinite(error).all()
    late = {name: d[8:].mean() for name, (d, _) in table.items()}
    assert late["dual"] < late["ridge 0.05"] and late["joint EKF"] < late["ridge 0.05"]
    shown = in_context.text("Strategy 2", table, 0)
    assert "| dual as published |" in shown and "| Kalman |" not in shown
