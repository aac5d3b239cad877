"""Identifiability against models with known answers, numeric ranks, and planted deficiencies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ssmlang
from ssmlang.analysis.budget import Budget
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding
from ssmlang.analysis.identifiability import check
from ssmlang.analysis.identifiability_rank import float_rank, jacobian
from ssmlang.analysis.identifiability_rings import Reals
from ssmlang.analysis.identifiability_study import Study, same_law
from ssmlang.frontend import check_text
from ssmlang.language.diagnostics import SsmError
from ssmlang.model.linear import LinearForm, linear_form
from tests.analysis.identifiability_models import KNOWN


def findings(text: str, seconds: float = 30.0) -> tuple[list[Finding], Context]:
    model = check_text(text).require()
    context = Context(model, linear_form(model), Budget(seconds))
    return check(context), context


def study_of(text: str) -> Study:
    model = check_text(text).require()
    form = linear_form(model)
    assert isinstance(form, LinearForm)
    return Study(model, form, Budget(60))


@pytest.mark.parametrize("name", KNOWN)
def test_known(name: str) -> None:
    known = KNOWN[name]
    found, _ = findings(known.text)
    lost = [f for f in found if f.verdict == "refuted" and f.property.startswith("identified")]
    early = [f for f in found if f.property.startswith("beyond the first row")]
    proved = [f for f in found if f.verdict == "proved"]
    moved = lambda f: frozenset(f.witness.first) if f.witness is not None else frozenset()
    if lost and lost[0].witness is not None:
        assert {moved(f) for f in lost} == set(known.lost)
    assert len(lost) == len(known.lost)
    unknown = [f.property.removeprefix("identified: ") for f in found if f.verdict == "unknown"]
    assert {name for text in unknown for name in text.split(" and ")} == known.open
    assert {moved(f) for f in early} == set(known.first_row)
    for text in known.kept:
        assert any(text in f.reason for f in lost), [f.reason for f in lost]
    if known.lost and not known.kept and len(known.lost[0]) == 1:
        assert "does not change with" in lost[0].reason
    if proved:
        assert set(known.unless) == set(proved[0].unless)
        said = " ".join(d for f in found for d in f.details)
        assert all(note in said for note in known.notes), said
        assert ("up to " in said) == any("sign" in n or "exchanged" in n for n in known.notes), said
    for f in [*lost, *early]:
        assert f.code in ("W620", "W621") and f.fix


MOVED = [n for n, k in KNOWN.items() if k.lost or k.first_row]
LINEAR = [n for n in MOVED if "Poisson" not in KNOWN[n].text and "u[t-1]^2" not in KNOWN[n].text
          and "d(" not in KNOWN[n].text]  # fmt: skip


@pytest.mark.parametrize("name", LINEAR)
def test_witness_has_one_law(name: str) -> None:
    """Both settings of a witness give the same law of more rows than the check looked at, and differ."""
    found, context = findings(KNOWN[name].text)
    witnessed = [f for f in found if f.witness is not None]
    assert witnessed
    study = Study(context.model, context.form, Budget(30))  # type: ignore[arg-type]
    for f in witnessed:
        w = f.witness
        assert w is not None and w.first != w.second and w.kind == "parameters"
        start = "free" if f.code == "W621" else "given"
        laws = []
        for setting in (w.first, w.second):
            every = {**(w.at or {}), **setting}
            params = {p.name: np.array([every[n] for n in p.entry_names()]).reshape(p.shape)
                      for p in context.model.parameters.values() if p.entry_names()[0] in every}  # fmt: skip
            laws.append(study.float_laws(params, study.lengths[-1] + 5, start=start))
        assert same_law(*laws, 1e-6)


def test_the_larger_of_two_is_unknown_and_no_fault() -> None:
    """At some values one of them is lost, at others the other one."""
    text = "param a, b ~ HalfNormal(1)\nparam s ~ HalfNormal(1)\ninput u\nobs y\ny[t] ~ Normal(max(a, b) * u[t], s)\n"
    found, _ = findings(text)
    assert [f.verdict for f in found] == ["unknown"] and "show one side alone" in found[0].reason


def test_assertion_refuted_fails_compilation() -> None:
    text = KNOWN["scale of a factor"].text + "assert identifiable(a, phi)\n"
    with pytest.raises(SsmError) as failed:
        ssmlang.compile(text)
    [error] = [d for d in failed.value.diagnostics if d.severity == "error"]
    assert error.code == "E620" and error.message == "a and s cannot be told apart"
    *whys, settings = error.why
    assert whys == ["only a * s is identified", "up to the sign of a"] and "const s = 1" in error.help[0]
    assert settings.startswith("(a = ") and settings.endswith("the observations have the same law")


def test_assertions_proved_and_unknown() -> None:
    text = KNOWN["scale of a factor"].text + "assert identifiable(phi)\n"
    found, _ = findings(text)
    [answer] = [f for f in found if f.asserted]
    assert answer.verdict == "proved" and answer.property == "identifiable(phi)"
    found, _ = findings(KNOWN["square of a state with a known start"].text + "assert identifiable(c)\n")
    assert [f.verdict for f in found if f.asserted] == ["unknown"]


def test_a_model_of_learned_states_alone_has_nothing_to_identify() -> None:
    text = "augment param a ~ Normal(0.5, 0.1) walk 0.01\nparam k ~ Normal(0, 1)\nstate x\nobs y\n"
    text += "init x ~ Normal(1, 1)\nx[t] ~ Normal(sin(a * x[t-1]), 1)\ny[t] ~ Normal(x[t], 1)\n"
    for more in ("", "assert identifiable(k)\n"):
        assert not [f for f in findings(text + more)[0] if f.verdict == "refuted"]


def test_a_parameter_of_late_rows_is_not_refuted() -> None:
    """What changes with the row number may do so after all rows that are looked at."""
    text = "param a, s ~ HalfNormal(1)\nstate x\nobs y\ninit x = 1\nx[t] = sin(x[t-1]) + (if t > 300 then a else 0)\n"
    found, _ = findings(text + "y[t] ~ Normal(x[t], s)\n")
    assert [f.verdict for f in found if "a" in f.property.split()] == ["unknown"]


def test_entries_of_an_array_are_asserted_one_by_one() -> None:
    text = (
        "param b[2] ~ Normal(0, 1)\nparam c ~ Normal(0, 1)\nparam sd ~ HalfNormal(1)\ninput u, v\nobs y\n"
        "y[t] ~ Normal((b[0] + c) * u[t] + b[1] * v[t], sd)\nassert identifiable(b[1])\nassert identifiable(b)\n"
    )
    found, _ = findings(text)
    answers = {f.property: f.verdict for f in found if f.asserted}
    assert answers == {"identifiable(b[1])": "proved", "identifiable(b)": "refuted"}


def test_parameters_of_priors_are_said_to_be_that() -> None:
    found, _ = findings(
        "param mu ~ Normal(0, 1)\nparam b[3] ~ Normal(mu, 1)\nparam sd ~ HalfNormal(1)\ninput u[3]\nobs y\n"
        "y[t] ~ Normal(dot(b, u[t]), sd)\n"
    )
    assert any("mu: of priors alone" in d for d in found[0].details)


def test_what_only_the_noise_of_states_tells() -> None:
    """A volatility's mean and memory are on the noise-free path; the size of its noise is told by what that does to
    returns of different rows, which it does not where a state forgets at once."""
    text = (
        "param mu ~ Normal(-1, 2)\nparam phi in (-1, 1) ~ Normal(0.95, 0.1)\nparam sd ~ HalfNormal(0.5)\n"
        "state h\nobs r\ninit h ~ Stationary()\n"
        "h[t] ~ Normal(mu + phi * (h[t-1] - mu), sd)\nr[t] ~ Normal(0, exp(h[t] / 2))\n"
        "assert identifiable(phi)\nassert identifiable(sd)\n"
    )
    answers = {f.property: f.verdict for f in findings(text)[0]}
    assert answers == dict.fromkeys(["identifiable(phi)", "identifiable(sd)", "parameters identified"], "proved")
    answers = {f.property: f.verdict for f in findings(text.replace("mu + phi * (h[t-1] - mu)", "mu"))[0]}
    assert answers["identifiable(sd)"] == answers["identified: sd"] == "unknown"


def test_a_fixed_point_as_initial_mean_does_not_hide_the_rank() -> None:
    found, _ = findings(
        "param r in (0, 3) ~ Normal(1, 0.3)\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t] = x[t-1] + 0.1 * r * x[t-1] * (1 - x[t-1])\ny[t] ~ Normal(x[t], 1)\n"
    )
    assert [f.verdict for f in found] == ["proved"]


def test_out_of_time_is_unknown_with_what_numbers_say() -> None:
    found, _ = findings(KNOWN["trend and season"].text, seconds=0.0)
    assert [f.verdict for f in found] == ["unknown"] and "took longer than 0 s" in found[0].reason


# --------------------------------------------------------------------------------- random models, planted losses


def random_model(seed: int, planted: str | None) -> str:
    """A system of one to three states, all coefficients parameters in a canonical form; `planted` makes some of them
    unidentifiable."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 4))
    lines = [f"param phi[{n}] in stationary ~ Normal(0, 0.5)" if n > 1 else "param phi in (-1, 1) ~ Normal(0, 0.5)",
             "param s, sd ~ HalfNormal(1)", "state x", "obs y", "init x ~ Stationary()"]  # fmt: skip
    terms = " + ".join(f"phi[{k}] * x[t-{k + 1}]" for k in range(n)) if n > 1 else "phi * x[t-1]"
    mean, scale, gain, noise = "", "s", "", "sd"
    if rng.random() < 0.5:
        lines.append("param mu ~ Normal(0, 1)")
        mean = "mu + "
    if planted == "product":
        lines.append("param a ~ Normal(0, 1)")
        gain = "a * "
    elif planted == "sum":
        lines.append("param q ~ HalfNormal(1)")
        noise = "sqrt(sd^2 + q^2)"
    elif planted == "scale":
        lines.append("param c ~ HalfNormal(1)")
        scale = "s * c"
    elif planted == "unseen":
        lines += ["param q ~ HalfNormal(1)", "state z", "init z ~ Normal(0, 1)", "z[t] ~ Normal(0.5 * z[t-1], q)"]
    elif planted == "mean":
        lines += ["param mu1, mu2 ~ Normal(0, 1)"]
        mean = "mu1 + mu2 + "
    return "\n".join([*lines, f"x[t] ~ Normal({terms}, {scale})", f"y[t] ~ Normal({mean}{gain}x[t], {noise})"]) + "\n"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10**6), st.sampled_from([None, "product", "sum", "scale", "unseen", "mean"]))
def test_exact_rank_is_numeric_rank(seed: int, planted: str | None) -> None:
    """The exact null space has the dimension that finite precision finds at random points."""
    study = study_of(random_model(seed, planted))
    steps, sample = study.unseen()
    exact = len(study.coords) - sample.null.shape[1]
    values = study.floats(seed % 97)
    jac = jacobian(study.float_laws(values, steps, study.coords), Reals(), len(study.coords), 0)
    rank, _ = float_rank(jac, np.ones(len(study.coords)))
    assert rank == exact
    assert (planted is None) == (exact == len(study.coords))


@pytest.mark.slow
def test_no_false_proof_among_a_thousand() -> None:
    """No model with a planted deficiency is proved."""
    plants = ["product", "sum", "scale", "unseen", "mean"]
    for seed in range(1000):
        study = study_of(random_model(seed, plants[seed % 5]))
        assert study.unseen()[1].null.shape[1] >= 1, random_model(seed, plants[seed % 5])


def test_no_false_proof_among_sixty() -> None:
    plants = ["product", "sum", "scale", "unseen", "mean"]
    for seed in range(2000, 2060):
        study = study_of(random_model(seed, plants[seed % 5]))
        assert study.unseen()[1].null.shape[1] >= 1


INNOVATIONS = """
param b in (-1, 1) ~ Normal(0.5, 0.3)
param omega, a ~ Normal(0, 1)
param df in (2, inf) ~ Normal(8, 4)
param sd ~ HalfNormal(1)
noise z ~ StudentT(df, 0, SD)
state h
obs r
init h = omega
h[t] = omega + b * (h[t-1] - omega) + a * z[t-1] / (1 + z[t-1]^2 / SD^2) / SD
r[t] = exp(h[t] / 2) * z[t]
"""


def test_past_observations_tell_what_moves_the_states() -> None:
    """Of the path without noise alone a and df would stay unknown."""
    (known,), _ = findings(INNOVATIONS.replace("SD", "1").replace("param sd ~ HalfNormal(1)\n", ""))
    assert known.verdict == "proved" and known.reason.startswith("b, omega, a and df: told apart by the laws of")
    found, _ = findings(INNOVATIONS.replace("SD", "sd"))
    lost, kept = sorted(found, key=lambda f: f.verdict == "proved")
    assert lost.verdict == "refuted" and lost.witness is not None and set(lost.witness.first) == {"omega", "sd"}
    assert kept.verdict == "proved" and kept.reason.startswith("b, a and df: ")
