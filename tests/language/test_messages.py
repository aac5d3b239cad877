"""Golden files for syntax errors and components: each `golden/NAME.ssm` with the exact text of `golden/NAME.txt`.

After a deliberate change of a message run `SSMLANG_GOLDEN=write pytest tests/language/test_messages.py`, and read the
difference.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ssmlang.language.codes import REGISTRY, Code, Example, lookup
from ssmlang.language.diagnostics import Diagnostic, Findings, Label, SsmError
from ssmlang.language.expand import expand
from ssmlang.language.parser import parse
from ssmlang.language.render import explain, render_github, render_json, render_text
from ssmlang.language.source import Source, Span

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.ssm"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_messages_are_exactly_these(path: Path) -> None:
    """The program may be cut into several by lines `# ----`, so that each message stands on its own."""
    shown = []
    for text in path.read_text(encoding="utf-8").split("# ----\n"):
        findings = Findings()
        expand(parse(Source(path.name, text), findings), base=path.parent, findings=findings)
        assert findings.has_errors, text
        shown.append(render_text(findings))
    text = "\n\n".join(shown) + "\n"
    expected = path.with_suffix(".txt")
    if os.environ.get("SSMLANG_GOLDEN") == "write":
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")


def spot(source: Source, piece: str) -> Span:
    at = source.text.index(piece)
    return Span(source, at, at + len(piece))


SOURCE = Source("r.ssm", "# one\nr[t] ~ Normal(0, exp(h[t] / 2))\n\ttabs\there\n全角 = 幅 + x\nlet a = [\n  1,\n]\n")


def one(**named: object) -> str:
    return render_text([Diagnostic("E304", "a message", **named)])  # type: ignore[arg-type]


def test_the_form() -> None:
    span = spot(SOURCE, "exp(h[t] / 2)")
    shown = one(span=span, label="depends on h", why=("because",), help=("do this", "or\nthat"))
    assert shown == (
        "error[E304]: a message\n"
        " --> r.ssm:2:18\n"
        "2 | r[t] ~ Normal(0, exp(h[t] / 2))\n"
        "  |                  ^^^^^^^^^^^^^ depends on h\n"
        "  = why: because\n"
        "  = help: do this\n"
        "  = help: or\n"
        "          that"
    )


def test_tabs_and_wide_characters_take_their_columns() -> None:
    assert one(span=spot(SOURCE, "here")).splitlines()[-2:] == ["3 |     tabs    here", "  |             ^^^^"]
    assert one(span=spot(SOURCE, "幅")).splitlines()[-2:] == ["4 | 全角 = 幅 + x", "  |        ^^"]
    assert one(span=spot(SOURCE, "+ x")).splitlines()[-1] == "  |           ^^^"


def test_a_span_of_several_lines_shows_its_first() -> None:
    assert one(span=spot(SOURCE, "[\n  1,\n]")).splitlines()[-2:] == ["5 | let a = [", "  |         ^"]


def test_the_end_of_the_text_has_a_place() -> None:
    source = Source("e.ssm", "let a =")
    assert one(span=Span(source, 7, 7)).splitlines()[-2:] == ["1 | let a =", "  |        ^"]
    assert one(span=Span(Source("e.ssm", ""), 0, 0)).splitlines()[-2:] == ["1 |", "  | ^"]


def test_further_places_in_this_file_and_another() -> None:
    other = Source("other.ssm", "component c() {\n")
    shown = one(span=spot(SOURCE, "h[t]"), label="here", others=(Label(spot(SOURCE, "tabs"), "this"),
                Label(spot(SOURCE, "Normal"), "in"), Label(spot(other, "c()"), "there")))  # fmt: skip
    assert shown == (
        "error[E304]: a message\n"
        " --> r.ssm:2:22\n"
        "2 | r[t] ~ Normal(0, exp(h[t] / 2))\n"
        "  |                      ^^^^ here\n"
        "  |        ------ in\n"
        "3 |     tabs    here\n"
        "  |     ---- this\n"
        " ::: other.ssm:1:11\n"
        "1 | component c() {\n"
        "  |           --- there"
    )


def test_a_terminal_cannot_be_steered_by_a_file() -> None:
    source = Source("\x1b[2J.ssm", "let a = \x1b[31m $\n")
    shown = render_text([Diagnostic("E103", "a \x1b[31m", Span(source, 8, 9), "\x1b[0m")])
    assert "\x1b" not in shown
    assert "\x1b[1;31m" in render_text([Diagnostic("E103", "a")], color=True)


def test_twenty_are_shown_and_the_rest_counted() -> None:
    many = [Diagnostic("E101", str(i)) for i in range(25)] + [Diagnostic("W101", "w")]
    assert render_text(many).splitlines()[-1] == "... and 5 errors, 1 warning more"
    assert render_text(many).count("error[E101]") == 20


def test_a_finding_without_a_place() -> None:
    shown = render_text([Diagnostic("W401", "a column is not used", help=("drop it",))])
    assert shown == "warning[W401]: a column is not used\n  = help: drop it"


def test_json_has_the_fields_of_a_linter() -> None:
    findings = Findings()
    parse(Source("bad.ssm", "const a = 2**3\n"), findings)
    (found,) = json.loads(render_json(findings))
    assert {k: found[k] for k in ("code", "name", "severity", "filename", "location", "end_location")} == {
        "code": "E106",
        "name": "other-language",
        "severity": "error",
        "filename": "bad.ssm",
        "location": {"row": 1, "column": 12},
        "end_location": {"row": 1, "column": 14},
    }
    assert found["fix"]["edits"] == [
        {"content": "^", **{k: found[k] for k in ("filename", "location", "end_location")}},
    ]


def test_github_annotations_are_one_line_each() -> None:
    source = Source("a,b:c.ssm", "let a = $\n")
    shown = render_github([Diagnostic("E103", "50 %\nof it", Span(source, 8, 9), "x"), Diagnostic("N101", "n")])
    assert shown.splitlines() == [
        "::error file=a%2Cb%3Ac.ssm,line=1,endLine=1,col=9,endColumn=10,title=ssmlang E103::50 %25%0Aof it%0Ax",
        "::notice title=ssmlang N101::n",
    ]


def test_the_exception_shows_all_and_no_traceback_in_a_notebook() -> None:
    findings = Findings()
    parse(Source("bad.ssm", "let a = $\nlet b = $\n"), findings)
    error = SsmError(findings)
    assert str(error).count("error[E103]") == 2
    assert error._render_traceback_()[0].startswith("error[E103]")


# --------------------------------------------------------------------------------------------------- the registry


def found_in(example: Example, folder: Path) -> set[str]:
    for name, text in example.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    findings = Findings()
    expand(parse(Source("model.ssm", example.text), findings), base=folder, findings=findings)
    return {d.code for d in findings}


# E112 is found where the warnings are, by the front end; its examples are tried with those of all codes.
OURS = [e for e in REGISTRY.values() if e.code.startswith(("E1", "E28")) and e.code != "E112"]


@pytest.mark.parametrize("entry", OURS, ids=lambda entry: entry.code)
def test_examples_of_syntax_and_components(entry: Code, tmp_path: Path) -> None:
    (tmp_path / "wrong").mkdir()
    (tmp_path / "mended").mkdir()
    assert entry.code in found_in(entry.wrong, tmp_path / "wrong")
    assert not found_in(entry.mended, tmp_path / "mended")


def test_entries_are_well_formed() -> None:
    assert len({entry.name for entry in REGISTRY.values()}) == len(REGISTRY)
    for code, entry in REGISTRY.items():
        assert code == entry.code and len(code) == 4 and code[0] in "EWN" and code[1:].isdigit()
        assert entry.title and entry.explanation.endswith(".") and entry.wrong != entry.mended
        shown = explain(code)
        assert shown is not None and entry.title in shown and "Wrong:" in shown and "Mended:" in shown


def test_a_warning_is_explained_by_its_error() -> None:
    assert lookup("w101") is REGISTRY["E101"]
    assert "W101 is E101 as a warning." in (explain("W101") or "")
    assert explain("E999") is None
