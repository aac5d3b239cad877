"""`# allow W602`: which comments it is in, what it holds for, and what it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ssmlang
from ssmlang.analysis.report import Report, report
from ssmlang.cli import main
from ssmlang.frontend import check_text
from ssmlang.language.allow import allows_of
from ssmlang.language.codes import WARNINGS
from ssmlang.language.diagnostics import SsmError
from ssmlang.language.format import format_text
from ssmlang.language.source import Source
from ssmlang.model.linear import linear_form

BODY = "obs y\ny[t] ~ Normal(0, sd)\n"
WALKS = """param sd_level, sd_drift, sd_obs ~ HalfNormal(1){a}
{b}state level, drift{c}
obs y
init level, drift ~ Diffuse()
level[t] ~ Normal(level[t-1], sd_level)
drift[t] ~ Normal(drift[t-1], sd_drift)
y[t] ~ Normal(level[t] + drift[t], sd_obs){d}
"""


def codes(text: str, base: Path | None = None) -> list[str]:
    return [d.code for d in check_text(text, base=base).findings]


def walks(a: str = "", b: str = "", c: str = "", d: str = "") -> Report:
    checked = check_text(WALKS.format(a=a, b=b, c=c, d=d), name="walks.ssm")
    model = checked.require()
    return report(model, linear_form(model), checked.findings, source=checked.source)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("param sd, k ~ HalfNormal(1)\n", ["W221"]),
        ("param sd, k ~ HalfNormal(1)  # allow W221\n", []),
        ("param sd, k ~ HalfNormal(1)  # allow w221: kept for later\n", []),
        ("param sd, k ~ HalfNormal(1) #allow W221 kept for later\n", []),
        ("# allow W221\nparam sd, k ~ HalfNormal(1)\n", []),
        ("# allow W221\n\n# a word between\n## a doc line\nparam sd, k ~ HalfNormal(1)\n", []),
        ("# allow W221\nconst a = 1\nparam sd, k ~ HalfNormal(a)\n", ["W113", "W221"]),
        ("const a = 1  # allow W221\nparam sd, k ~ HalfNormal(a)\n", ["W113", "W221"]),
        ("param sd, k ~ HalfNormal(1)\n# allow W221\n", ["W221", "W113"]),
        ("param sd, k ~ HalfNormal(\n  1)  # allow W221\n", []),
        ("param sd, k ~ HalfNormal(  # allow W221\n  1)\n", []),
        ("param sd, k ~ HalfNormal(\n  1  # allow W221\n  )\n", ["W221", "W113"]),
        ("param sd, k, m ~ HalfNormal(1)  # allow W221\n", []),
        ("## allow W221\nparam sd, k ~ HalfNormal(1)\n", ["W221"]),
        ("param k, sd  # allow W220, W221\n", []),
        ("param k, sd  # allow W220 W221\n", []),
        ("param k, sd  # allow W220,W221,\n", []),
        ("param k, sd  # allow W220\n", ["W221"]),
        ("param sd, k ~ HalfNormal(1)  # allow W221, W221\n", ["W113"]),
        ("param sd ~ HalfNormal(1)  # allow W221\n", ["W113"]),
    ],
)
def test_what_a_comment_holds_for(text: str, left: list[str]) -> None:
    for ending in ("\n", "\r\n"):
        assert codes((text + BODY).replace("\n", ending)) == left


PROSE = ("allow for drift", "allow x1 to move", "allowed", "allow 3 lags", "allow", "allow W1 to move")


@pytest.mark.parametrize("note", PROSE)
def test_prose_is_a_comment(note: str) -> None:
    assert codes(f"param sd ~ HalfNormal(1)  # {note}\n{BODY}") == []


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("W6O2", "did you mean `W602`?"),
        ("W603", "did you mean `W6"),
        ("E602", "its warning is `W602`"),
        ("E201", "only warnings and notes can be"),
        ("W113", "remove"),
        ("W201", "did you mean"),
    ],
)
def test_other_codes_are_errors_with_a_suggestion(code: str, said: str) -> None:
    checked = check_text(f"param sd ~ HalfNormal(1)  # allow {code}\n{BODY}")
    (found,) = checked.findings
    assert checked.model is None and found.code == "E112" and said in found.label
    assert found.span is not None and found.span.text == code
    with pytest.raises(SsmError, match=f"allow {code}"):
        ssmlang.compile(f"param sd ~ HalfNormal(1)  # allow {code}\n{BODY}")


def test_errors_are_not_silenced() -> None:
    found = check_text("param sd ~ HalfNormal(1)\nobs y\ny[t] ~ Normal(0, s)  # allow W221, N222\n").findings
    assert "E201" in [d.code for d in found]
    # Nor is it said of a text with errors that a comment is idle: what it is for may not have been looked for.
    assert "W113" not in [d.code for d in found]


def test_every_warning_that_is_made_can_be_allowed() -> None:
    import re

    package = Path(ssmlang.__file__).parent
    of_text = [p for room in ("model", "analysis", "language") for p in (package / room).rglob("*.py")]
    made = {c for p in of_text for c in re.findall(r'"([WN]\d{3})"', p.read_text())}
    assert made - {"W113"} == WARNINGS


def test_components_and_imported_files(tmp_path: Path) -> None:
    component = "component c() {{{a}\n  param k{b}\n  out k\n}}{c}\n"
    use = "part p = c()\nobs y\ny[t] ~ Normal(0, p)\n"
    silent = {"a": "", "b": "", "c": ""}
    assert codes(component.format(**silent) + use) == ["W220"]
    assert codes(component.format(**silent | {"b": "  # allow W220"}) + use) == []
    assert codes(component.format(**silent | {"c": "  # allow W220"}) + use) == []
    assert codes("# allow W220\n" + component.format(**silent) + use) == []
    assert codes(component.format(**silent | {"a": "\n  # allow W220"}) + use) == []
    assert codes(component.format(**silent | {"a": "  # allow W220"}) + use) == ["W113", "W220"]
    (tmp_path / "c.ssm").write_text(component.format(**silent | {"b": "  # allow W220, W221"}))
    # What is idle in another file is for a check of that file to say.
    assert codes('from "./c.ssm" import c\n' + use, tmp_path) == []


def test_a_part_allows_what_its_component_causes(tmp_path: Path) -> None:
    inner, outer = "component c() {\n  param k\n  out k\n}\n", "component d() {\n  part e = c()\n  out e\n}\n"
    (tmp_path / "c.ssm").write_text(inner + outer)
    body = "obs y\ny[t] ~ Normal(0, p)\n"
    assert codes('from "./c.ssm" import c\npart p = c()  # allow W220\n' + body, tmp_path) == []
    assert codes('from "./c.ssm" import d\npart p = d()  # allow W220\n' + body, tmp_path) == []
    assert codes('from "./c.ssm" import c\n# allow W220\npart p = c()\n' + body, tmp_path) == []
    assert codes('from "./c.ssm" import c\npart p = c()  # allow W221\n' + body, tmp_path) == ["W220", "W113"]
    # One part does not speak for another of the same component.
    both = 'from "./c.ssm" import c\npart p = c()  # allow W220\npart q = c(){q}\nobs y\ny[t] ~ Normal(q, p)\n'
    assert "W220" in codes(both.format(q=""), tmp_path)
    assert codes(both.format(q="  # allow W220"), tmp_path) == []


PARTS = """from structural import local_level
param sd_level, sd_drift, sd_obs ~ HalfNormal(1)  # allow W620
part level = local_level(sd_level)
part drift = local_level(sd_drift){allow}
obs y
y[t] ~ Normal(level[t] + drift[t], sd_obs)
"""


def test_what_the_checks_find_of_a_part_stands_on_its_line() -> None:
    def shown(allow: str) -> Report:
        checked = check_text(PARTS.format(allow=allow), name="parts.ssm", base=Path.cwd())
        model = checked.require()
        return report(model, linear_form(model), checked.findings, source=checked.source)

    (lost,) = shown("").diagnostics
    assert lost.code == "W602" and lost.span is not None
    assert lost.span.source.name == "parts.ssm" and lost.span.source.position(lost.span.start) == (4, 6)
    assert not shown("  # allow W602: their sum is what is wanted").diagnostics
    assert [d.code for d in shown("  # allow W605, W602").diagnostics] == []


def test_findings_of_the_checks() -> None:
    assert [d.code for d in walks().diagnostics] == ["W602", "W620"]
    found = walks(c="  # allow W602")
    assert [d.code for d in found.diagnostics] == ["W620"]
    (observable,) = [f for f in found.findings if f.property == "observable"]
    assert observable.verdict == "refuted" and observable.allowed == 2 and observable.witness is not None
    assert "allowed on line 2" in str(found)
    assert json.loads(json.dumps(found.to_dict()))["checks"][1]["allowed"] == 2
    assert not walks(a="  # allow W620", b="# allow W602\n").diagnostics


def test_allowing_in_the_wrong_place_is_said() -> None:
    found = walks(d="  # allow W602").diagnostics
    assert [d.code for d in found] == ["W602", "W620", "W113"] and "W602" in found[-1].message
    # The length of the data decides of these: another day there may be fewer of them.
    assert [d.code for d in walks(d="  # allow W622, W605, W631").diagnostics] == ["W602", "W620"]


def test_an_allowed_warning_is_still_an_error_where_it_is_asserted() -> None:
    text = WALKS.format(a="", b="", c="  # allow W602", d="") + "assert observable(level)  # allow W602\n"
    with pytest.raises(SsmError) as raised:
        ssmlang.compile(text)
    assert "E602" in [d.code for d in raised.value.diagnostics]


def test_every_face_shows_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = WALKS.format(a="  # allow W620", b="", c="  # allow W602", d="")
    model = ssmlang.compile(text)
    assert not model.diagnostics and not model.check().diagnostics
    file = tmp_path / "walks.ssm"
    file.write_text(text)
    assert main(["check", "--strict", str(file)]) == 0
    out = capsys.readouterr().out
    assert "1 file: clean" in out and "allowed on line 1" in out and "allowed on line 2" in out
    file.write_text("param sd, k ~ HalfNormal(1)  # allow W221\n" + BODY)
    assert main(["check", "--strict", str(file)]) == 0
    assert not ssmlang.compile(file).diagnostics


@pytest.mark.parametrize(
    "text",
    [
        "# allow W221\n\nparam   sd,k ~ HalfNormal( 1 )\n" + BODY,
        "param   sd,k ~ HalfNormal( 1 )    #allow W221:  why\n" + BODY,
        "param sd, k ~ HalfNormal(\n  1)  # allow W221\n" + BODY,
        "param sd ~ HalfNormal(1)\nparam " + ", ".join(f"unused_parameter_{i}" for i in range(12))
        + " ~ HalfNormal(1)  # allow W221\n" + BODY,
        "component c() { param k\n out k }  # allow W220\npart p = c()\nobs y\ny[t] ~ Normal(0, p)\n",
    ],
)  # fmt: skip
def test_the_formatter_keeps_it_in_force(text: str) -> None:
    assert codes(text) == []
    formatted = format_text(text)
    assert codes(formatted) == [] and format_text(formatted) == formatted
    assert [a.code for a in allows_of(Source("m", text))] == [a.code for a in allows_of(Source("m", formatted))]
