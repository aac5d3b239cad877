"""What observations say of the states of nonlinear models: a table of known answers, numbers, and random systems."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ssmlang.analysis.budget import Budget
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding
from ssmlang.analysis.lie import check
from ssmlang.analysis.lie_jets import Jet, Jets
from ssmlang.analysis.lie_outputs import Outputs
from ssmlang.analysis.lie_points import alike, prior_points
from ssmlang.analysis.lie_rank import generic
from ssmlang.analysis.lie_signs import kernel
from ssmlang.analysis.residues import PRIME, fractions, null_space, rank
from ssmlang.frontend import check_text
from ssmlang.model.linear import linear_form
from tests.analysis.nonlinear import CASES, HEAD, Case


def context_of(text: str, seconds: float = 20) -> Context:
    model = check_text(text).require()
    return Context(model, linear_form(model), Budget(seconds))


def only(text: str) -> Finding:
    (found,) = check(context_of(text))
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_known_answers(case: Case) -> None:
    found = only(case.text)
    assert found.verdict == case.verdict, (found.reason, found.details)
    assert found.property == (case.asked or "observable") and found.asserted == bool(case.asked)
    assert all(piece in found.reason for piece in case.said), found.reason
    assert found.unless == case.unless
    if case.differ:
        assert found.witness is not None
        first, second = found.witness.first, found.witness.second
        assert {k for k in first if first[k] != second[k]} == case.differ
        assert found.fix is not None and found.fix.startswith("observe ")


@pytest.mark.parametrize("case", [c for c in CASES if c.differ], ids=lambda c: c.name)
def test_witnesses_have_the_same_observations(case: Case) -> None:
    """Once more by the model's own simulator of skeletons: the outputs of 20 rows from both states."""
    context = context_of(case.text)
    (found,) = check(context)
    assert found.witness is not None and found.witness.at is not None
    outputs = Outputs(context.model)
    point = next(p for p in prior_points(context, outputs, 8)
                 if {outputs.name(k): v for k, v in p.state.items()} == dict(found.witness.first))  # fmt: skip
    other = {k: found.witness.second[outputs.name(k)] for k in outputs.keys}
    assert other != point.state
    assert alike(outputs, point, other)
    broken = {k: v + 0.1 for k, v in point.state.items()}
    assert not alike(outputs, point, broken) or "never reaches" in found.reason or "shift" in case.name


def test_the_fix_settles_it() -> None:
    for name in ("Lorenz '63 through z", "square", "only their sum", "two alike, summed"):
        case = next(c for c in CASES if c.name == name)
        found = only(case.text)
        assert found.fix is not None
        declared, equation = found.fix.split("`")[1], found.fix.split("`")[3]
        lines = case.text.splitlines()
        place = next(i for i, line in enumerate(lines) if line.startswith("obs "))
        mended = "\n".join([*lines[: place + 1], declared, *lines[place + 1 :], equation]) + "\n"
        model = check_text(mended).require()
        form = linear_form(model)
        assert [f.verdict for f in check(Context(model, form, Budget(20)))] in (["proved"], [])


@pytest.mark.parametrize("noise", ["= c[t-1]", "~ Normal(c[t-1], 0.1)"])
def test_a_threshold_that_is_learned_is_unknown_not_unseen(noise: str) -> None:
    """No derivative tells one from another, and yet a path that goes between them does."""
    found = only(
        f"state x, c\nobs y\ninit x, c ~ Normal(0, 1)\nc[t] {noise}\n"
        "x[t] ~ Normal((if x[t-1] > c[t-1] then 0.5 else 0.2) * x[t-1], 0.3)\ny[t] ~ Normal(x[t], 0.2)\n"
    )
    assert found.verdict == "unknown" and "a condition reads c" in found.reason


def test_too_many_entries_are_unknown_and_quick() -> None:
    found = only(HEAD + "state x[300]\nobs y\ninit x ~ Normal(0, 1)\nx[t] = x[t-1]^2\ny[t] ~ Normal(sum(x[t]), s)\n")
    assert found.verdict == "unknown" and found.reason.startswith("300 entries of the state are too many")


def test_a_budget_is_kept() -> None:
    text = next(c for c in CASES if c.name == "Lorenz '63 through x, rho learned").text
    (found,) = check(context_of(text, seconds=1e-6))
    assert found.verdict == "unknown" and "took longer than 1e-06 s" in found.reason
    spent = context_of(text, seconds=4)
    spent.budget._until = 0.0  # algebra has used it up; numbers have half of it anew
    (found,) = check(spent)
    assert found.reason.endswith(" took longer than 4 s; numerically of full rank at 8 prior draws")


def test_linear_programs_are_left_to_their_own_check() -> None:
    text = HEAD + "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] = a * x[t-1]\ny[t] ~ Normal(x[t], s)\n"
    assert check(context_of(text)) == []


# ----------------------------------------------------------------------------------------------------- random systems


def _polynomial(rng: np.random.Generator, names: list[str], lag: str) -> str:
    terms = []
    for _ in range(int(rng.integers(1, 4))):
        picked = rng.choice(names, int(rng.integers(1, 3)))
        number = Fraction(int(rng.integers(1, 9)), int(rng.integers(1, 9))) * int(rng.choice([-1, 1]))
        terms.append(f"{number} * " + " * ".join(f"{n}[{lag}]" for n in picked))
    return " + ".join(terms)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_planted_deficiency_is_never_proved(seed: int, planted: bool) -> None:
    """Random polynomial systems; planted: one state is read by nothing but itself."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 5))
    names = [f"x{i}" for i in range(n)]
    read = names[:-1] if planted else names
    equations = [f"{name}[t] = {_polynomial(rng, read, 't-1')}" for name in read]
    if planted:
        equations.append(f"{names[-1]}[t] = {_polynomial(rng, names, 't-1')}")
    text = HEAD + "\n".join([
        f"state {', '.join(names)}", "obs y", f"init {', '.join(names)} ~ Normal(1, 1)", *equations,
        f"y[t] ~ Normal({_polynomial(rng, read, 't')} + {read[0]}[t]^2, s)",
    ]) + "\n"  # fmt: skip
    context = context_of(text)
    (found,) = check(context)
    if planted:
        assert found.verdict != "proved"
    seen = generic(Outputs(context.model))
    assert seen is not None
    assert seen.rank == _numeric_rank(context)
    assert (seen.rank == n) or found.verdict != "proved"


def _numeric_rank(context: Context) -> int:
    """The rank by central differences at fifty digits: nothing of the package's derivatives."""
    import mpmath

    outputs = Outputs(context.model)
    mpmath.mp.dps = 80
    best = 0
    for point in range(3):
        rng = np.random.default_rng(point)
        start = [mpmath.mpf(int(v)) / 997 for v in rng.integers(-997, 997, len(outputs.keys))]
        n, rows = len(start), len(outputs.keys)
        step = mpmath.mpf(10) ** -30

        def values(state: list[mpmath.mpf], rows: int = rows) -> list[mpmath.mpf]:
            at = dict(zip(outputs.keys, state))
            known = lambda key, row: mpmath.mpf(1) / 3
            found = []
            for _, row in zip(range(rows), outputs.rows(_Mp(), at, known)):
                found += row[:1]
            return found

        columns = []
        for j in range(n):
            ahead, behind = ([v + (sign * step if i == j else 0) for i, v in enumerate(start)] for sign in (1, -1))
            columns.append([(a - b) / (2 * step) for a, b in zip(values(ahead), values(behind))])
        matrix = mpmath.matrix([[c[i] for c in columns] for i in range(rows)])
        for i in range(rows):
            size = max(abs(matrix[i, j]) for j in range(n)) or 1
            for j in range(n):
                matrix[i, j] /= size
        s = sorted(mpmath.svd_r(matrix, compute_uv=False), reverse=True)
        best = max(best, sum(1 for v in s if v > s[0] * mpmath.mpf(10) ** -25))
    return best


class _Mp:
    def constant(self, value: float) -> object:
        import mpmath

        from ssmlang.analysis.scalars import rational

        fraction = rational(value)
        return mpmath.mpf(fraction.numerator) / fraction.denominator

    def unary(self, op: str, x: object) -> object:
        assert op == "neg"
        return -x  # type: ignore[operator]

    def binary(self, op: str, a: object, b: object) -> object:
        import operator

        table: dict[str, Callable[[object, object], object]] = {
            "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv, "pow": operator.pow,
        }  # fmt: skip
        return table[op](a, b)

    def where(self, test: object, then: object, otherwise: object) -> object:
        return then if test else otherwise


# ----------------------------------------------------------------------------------------------------------- numbers

FUNCTIONS = ("exp", "expm1", "sin", "cos", "tan", "tanh", "sigmoid", "softplus", "log", "log1p", "sqrt", "atan", "neg")


@pytest.mark.parametrize("op", FUNCTIONS)
def test_series_of_functions(op: str) -> None:
    """Taylor coefficients in time, with gradients by the first state, against numeric differentiation."""
    import mpmath

    mpmath.mp.dps = 40
    table = {
        "sigmoid": lambda v: 1 / (1 + mpmath.exp(-v)), "softplus": lambda v: mpmath.log(1 + mpmath.exp(v)),
        "neg": lambda v: -v, "expm1": lambda v: mpmath.exp(v) - 1, "log1p": lambda v: mpmath.log(1 + v),
    }  # fmt: skip
    function = table.get(op) or getattr(mpmath, op)
    jets = Jets(1, 4)
    x = jets.variable(0.7, 0)
    x.a[1, 0], x.a[2, 1], x.a[3, 0] = 0.3, 0.5, -0.2
    path = lambda t, first: first + 0.3 * t + 0.5 * (first - 0.7) * t**2 - 0.2 * t**3
    found = jets.unary(op, x)
    value = mpmath.taylor(lambda t: function(path(t, mpmath.mpf(0.7))), 0, 4)
    slope = [mpmath.diff(lambda f, k=k: mpmath.taylor(lambda t: function(path(t, f)), 0, k)[k], 0.7) for k in range(3)]
    assert np.allclose(found.a[:, 0], [float(v) for v in value], rtol=1e-10, atol=1e-12)
    assert np.allclose(found.a[:3, 1], [float(v) for v in slope], rtol=1e-6, atol=1e-8)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-50, 50), min_size=6, max_size=6), st.integers(1, 3))
def test_residues_agree_with_doubles(numbers: list[int], order: int) -> None:
    assume(numbers[0] and numbers[3] and numbers[0] * 2 + numbers[3])
    results = []
    for prime in (0, PRIME):
        jets = Jets(2, order, prime)
        x, y = jets.variable(numbers[0], 0), jets.variable(numbers[3], 1)
        for j, row in ((x, numbers[1:3]), (y, numbers[4:6])):
            j.a[1, 0] = row[0] % prime if prime else row[0]
        z = jets.binary("div", x * y + jets.constant(3), x * jets.constant(2) + y)
        z = jets.binary("sub", jets.binary("pow", z, jets.constant(2)), jets.constant(0.25))
        results.append(z)
    doubles, residues = results
    assert isinstance(doubles, Jet) and isinstance(residues, Jet)
    base = 2 * numbers[0] + numbers[3]
    # Powers of the divisor clear every denominator of the coefficients.
    scale = 4 * base ** (2 * order + 4)
    whole = residues.a.astype(object) * scale % PRIME
    whole = np.where(whole > PRIME // 2, whole - PRIME, whole)
    expected = doubles.a * float(scale)
    small = np.abs(expected) < 1e8
    assert np.allclose(whole[small].astype(float), expected[small], rtol=1e-6, atol=1e-3)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 6), st.integers(0, 5))
def test_exact_linear_algebra(seed: int, rows: int, columns: int, wanted: int) -> None:
    rng = np.random.default_rng(seed)
    wanted = min(wanted, rows, columns)
    matrix = rng.integers(-4, 5, (rows, wanted)) @ rng.integers(-4, 5, (wanted, columns))
    assert rank(matrix) == np.linalg.matrix_rank(matrix.astype(float))
    null = null_space(matrix)
    assert len(null) == columns - rank(matrix)
    assert not (matrix.astype(object) @ null.T.astype(object) % PRIME).any()
    for row in null:
        numbers = fractions(row)
        if numbers is not None:
            assert not any(sum(int(m) * f for m, f in zip(line, numbers)) for line in matrix)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 63), max_size=6))
def test_kernel_over_two_elements(asked: list[int]) -> None:
    even = lambda v: all(bin(v & m).count("1") % 2 == 0 for m in asked)
    basis = kernel(asked, 6)
    assert all(even(v) for v in basis)
    assert 2 ** len(basis) == sum(even(v) for v in range(64))


LARGE = """const hidden = 30
const classes = {classes}
input x[4]
augment param W1[hidden, 4] ~ Normal(0, 0.5) walk 0.001
augment param W2[classes, hidden] ~ Normal(0, 0.5) walk 0.001
augment param b2[classes] ~ Normal(0, 0.5)
"""
LOGITS = "obs digit in 0..classes-1\ndigit[t] ~ Categorical(logits = W2 @ tanh(W1 @ x[t]) + b2)\n"


def test_logits_of_a_large_model_count_up_to_a_shift() -> None:
    """306 entries are too many for a rank; shifts of the rows of W2 and of all of b2 are found all the same."""
    text = LARGE.replace("{classes}", "6") + LOGITS
    (f,) = check(context_of(text))
    assert f.verdict == "refuted" and f.code is None and "at least 31 of 306 directions" in f.reason
    assert "W2: the same 30 numbers added to each row; b2: one number added to all" in f.reason
    claimed = {g.property: g for g in check(context_of(text + "assert observable(b2), observable(W1)\n"))}
    assert claimed["observable(b2)"].verdict == "refuted" and claimed["observable(b2)"].code == "E602"
    assert claimed["observable(W1)"].verdict == "unknown" and "too many" in claimed["observable(W1)"].reason


def test_what_counts_as_it_is_in_a_large_model_is_not_refuted() -> None:
    seen = "obs y[classes]\ny[t] ~ Normal(W2 @ tanh(W1 @ x[t]) + b2, 1)\n"
    (f,) = check(context_of(LARGE.replace("{classes}", "6") + seen))
    assert f.verdict == "unknown" and "306 entries" in f.reason
