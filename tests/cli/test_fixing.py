"""`ssmlang check --fix`: what is mended is what was meant, and no file is left worse than it was."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ssmlang.cli import main
from ssmlang.fixing import Examined, mend
from ssmlang.frontend import check_text
from ssmlang.language.codes import REGISTRY
from ssmlang.language.format import format_text
from ssmlang.language.printer import print_program
from ssmlang.language.suggest import only_neighbour

Capture = pytest.CaptureFixture[str]

HEAD = "param sd, phi ~ HalfNormal(1)\nstate level\nobs y\ninit level ~ Normal(0, 1)\n"
STEP = "level[t] ~ Normal(phi * level[t-1], 1)\n"
GRID = "y[t] ~ Normal(level[t], sd)\nlet w[t, i, j] = level[t] * i * j FOR\n"
SEEN = "y[t] ~ Normal(level[t], sd)\n"


def lines(*, step: str = STEP, seen: str = SEEN, more: str = "") -> str:
    return HEAD + more + step + seen


def use(expression: str) -> str:
    return lines(seen=f"y[t] ~ Normal(level[t], {expression})\n")


# The code, the text as it is written, and as it is meant.
CASES = {
    "unary plus": ("E101", use("+sd"), use("sd")),
    "long minus": ("E103", use("1 − sd"), use("1 - sd")),
    "dot": ("E103", use("2 · sd"), use("2 * sd")),
    "square": ("E103", use("sd²"), use("sd^2")),
    "in": ("E103", lines(more="axis k = 1..3\nlet a = sum(2 * i for i ∈ k)\n"),
           lines(more="axis k = 1..3\nlet a = sum(2 * i for i  in  k)\n")),
    "comma between ranges": ("E101", lines(more="const a = 3\n", seen=GRID.replace("FOR", "for i in 1..2, j in 1..2")),
                             lines(more="const a = 3\n", seen=GRID.replace("FOR", "for i in 1..2 for j in 1..2"))),
    "comma before a range": ("E101", lines(seen=GRID.replace("FOR", "for i in 1..2, for j in 1..2")),
                             lines(seen=GRID.replace("FOR", "for i in 1..2 for j in 1..2"))),
    "keyword": ("E105", lines().replace("param", "parm"), lines()),
    "keyword with capital": ("E105", lines().replace("obs y", "Obs y"), lines()),
    "foreign keyword": ("E105", lines().replace("param", "parameter"), lines()),
    "latent": ("E105", lines().replace("state", "latent"), lines()),
    "power": ("E106", use("sd**2"), use("sd^2")),
    "power of a power": ("E106", use("sd**2**.5"), use("sd^2^0.5")),
    "arrow": ("E106", lines(more="const a <- 3\n"), lines(more="const a = 3\n")),
    "walrus": ("E106", lines(more="const a := 3\n"), lines(more="const a = 3\n")),
    "semicolon": ("E106", lines(more="const a = 3;\n"), lines(more="const a = 3\n")),
    "three dots": ("E106", lines(more="axis k = 1...3\n"), lines(more="axis k = 1..3\n")),
    "colon": ("E106", lines(more="axis k = 1:3\n"), lines(more="axis k = 1..3\n")),
    "and": ("E106", use("if 1 < 2&&2 < 3 then sd else 1"), use("if 1 < 2 and 2 < 3 then sd else 1")),
    "or": ("E106", use("if 1 < 2 || 2 < 3 then sd else 1"), use("if 1 < 2 or 2 < 3 then sd else 1")),
    "bound": ("E106", lines(more="param a > -1.5 ~ Normal(0, 1)\n"),
              lines(more="param a in (-1.5, inf) ~ Normal(0, 1)\n")),
    "upper bound": ("E106", lines(more="param a < 0\n"), lines(more="param a in (-inf, 0)\n")),
    "comment": ("E106", lines(more="// a note\n"), lines(more="# a note\n")),
    "law of a parameter": ("E107", lines(more="param a = Normal(0, 1)\n"), lines(more="param a ~ Normal(0, 1)\n")),
    "law of a noise": ("E107", lines(more="noise e = Normal(0, 1)\n"), lines(more="noise e ~ Normal(0, 1)\n")),
    "value of a constant": ("E107", lines(more="const a ~ 3.5\n"), lines(more="const a = 3.5\n")),
    "definition": ("E107", lines(more="let a == 3\n"), lines(more="let a = 3\n")),
    "comparison": ("E107", use("if sd = 1 then sd else 1"), use("if sd == 1 then sd else 1")),
    "no digit before": ("E108", use(".5 * sd"), use("0.5 * sd")),
    "no digit behind": ("E108", use("2. * sd"), use("2.0 * sd")),
    "name": ("E201", lines(seen=SEEN.replace("level", "levle")), lines()),
    "name left out a letter": ("E201", lines(step=STEP.replace("level[t-1]", "levl[t-1]")), lines()),
    "name in capitals": ("E201", use("SD"), use("sd")),
    "left side": ("E201", lines(step=STEP.replace("level[t] ", "lvel[t] ")), lines()),
    "row": ("E210", lines(step=STEP.replace("level[t] ", "level ")), lines()),
    "function": ("E211", use("sqtr(sd)"), use("sqrt(sd)")),
    "foreign function": ("E211", use("exp(ln(sd))"), use("exp(log(sd))")),
    "property": ("E211", lines() + "assert obsrvable(level)\n", lines() + "assert observable(level)\n"),
    "distribution": ("E212", lines(seen=SEEN.replace("Normal", "normal")), lines()),
    "distribution misspelt": ("E212", lines(step=STEP.replace("Normal", "Nromal")), lines()),
    "law after =": ("E213", lines(step=STEP.replace("~", "=")), lines()),
    "argument": ("E212", use("sacle=sd"), use("scale=sd")),
    "component": ("E283", 'from structural import seasnal as s\n' + lines(),
                  'from structural import seasonal as s\n' + lines()),
    "idle allow": ("W113", lines(seen=SEEN[:-1] + "  # allow W221\n"), lines()),
    "idle allow on its line": ("W113", lines(more="  # allow W602: why\n"), lines()),
    "one idle of two": ("W113", lines(more="param a ~ Normal(0, 1)  # allow W220, W221, W602: spare\n"),
                        lines(more="param a ~ Normal(0, 1)  # allow W221: spare\n")),
}  # fmt: skip


def examiner(name: str = "m.ssm", base: Path | None = None):  # type: ignore[no-untyped-def]
    """Examines a text; the whole of it with the checks of the analysis."""

    def examine(text: str, whole: bool) -> Examined:
        from ssmlang.analysis.report import report
        from ssmlang.model.linear import linear_form

        checked = check_text(text, name=name, base=base)
        if not whole or checked.model is None or ("# allow W6" not in text and "W602" not in text):
            return checked.source, checked.findings
        model = checked.model
        found = report(model, linear_form(model), checked.findings, source=checked.source).diagnostics
        return checked.source, found

    return examine


def canonical(text: str) -> str:
    return print_program(check_text(text).flat)


@pytest.mark.parametrize("case", CASES)
def test_the_mend_is_what_was_meant(case: str) -> None:
    code, wrong, meant = CASES[case]
    examine = examiner()
    assert code in {d.code for d in examine(wrong, True)[1]}
    done = mend(wrong, examine)
    assert done.after == meant and code in {a.code for a in done.applied} and not done.refused
    found = examine(done.after, True)[1]
    assert not [d for d in found if d.severity == "error" or d.code == code]
    assert canonical(done.after) == canonical(meant)
    # The formatter takes what comes out, and nothing is left to mend in what it makes of it.
    formatted = format_text(done.after)
    assert canonical(formatted) == canonical(meant)
    assert mend(formatted, examine).after == formatted


def test_the_codes_that_are_mended_are_those_that_say_so() -> None:
    assert {code for code, *_ in CASES.values()} == {c for c, entry in REGISTRY.items() if entry.fixes}


@pytest.mark.parametrize(
    "text",
    [
        use("psi"),  # perhaps a parameter that is still to be declared
        lines(more="param sd_1 ~ HalfNormal(1)\n", seen=SEEN.replace("sd)", "sd_2)")),
        lines(more="let a1 = 1\nlet a2 = 2\n", seen=SEEN.replace("sd)", "a3)")),
        lines(more="param a = 3\n"),  # a constant, or a prior that is left out
        lines(seen="y[t] ~ dnorm(level[t], sd)\n"),  # its second argument is a precision
        lines(more="let a = [1, 2, 3]\nlet b = a[0:2]\n"),  # Python leaves the end out
        lines(more="const a = 7 // 2\n"),
        use("if sd & 1 == 1 then sd else 1"),
        use("Normal(0, sd)"),
    ],
)
def test_what_has_several_mends_is_left(text: str) -> None:
    assert check_text(text).model is None
    assert mend(text, examiner()).after == text


def test_misspelt_letters_give_back_the_program_or_nothing() -> None:
    program = (
        "param sd_level, sd_slope, sd_obs ~ HalfNormal(1)\nstate level, slope\nobs sales\n"
        "init level, slope ~ Normal(0, 10)\nlevel[t] ~ Normal(level[t-1] + slope[t-1], sd_level)\n"
        "slope[t] ~ Normal(slope[t-1], sd_slope)\nsales[t] ~ Normal(level[t], sd_obs)\n"
    )
    meant, examine = canonical(program), examiner()
    declared = program.index("init")
    mended = 0
    for word in re.finditer(r"[A-Za-z_]{4,}", program):
        if word.start() < declared and word[0] not in ("param", "state", "HalfNormal"):
            continue
        at = word.start() + len(word[0]) // 2
        swapped = program[:at] + program[at + 1] + program[at] + program[at + 2 :]
        for wrong in (program[:at] + program[at + 1 :], swapped):
            after = mend(wrong, examine).after
            checked = check_text(after)
            if checked.model is not None:
                assert print_program(checked.flat) == meant, wrong
                mended += 1
    assert mended > 30


def test_no_text_is_left_with_more_errors() -> None:
    # The semicolon hides what the equations read.
    worse = "obs y, z;\ny[t] ~ Normal(aa, 1)\nz[t] ~ Normal(bb, 1)\n"
    done = mend(worse, examiner())
    assert done.after == worse and [a.code for a in done.refused] == ["E106"] and not done.applied
    third = "obs y, z, u;\ny[t] ~ Normal(aa, 1)\nz[t] ~ Normal(bb, 1)\nu[t] ~ Normal(cc, 1)\n"
    done = mend("const a = 2**3\n" + third, examiner())
    assert done.after == "const a = 2 ^ 3\n".replace(" ^ ", "^") + third
    assert [a.message for a in done.applied] == ["`**` becomes `^`"] and [a.line for a in done.refused] == [2]


def test_the_file_is_written_and_the_change_shown(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "m.ssm"
    text = lines(step=STEP.replace("phi", "phi**2")).replace("param", "parm")
    file.write_text(text)
    assert main(["check", "--fix", "--diff", str(file)]) == 1
    out = capsys.readouterr().out
    assert file.read_text() == text
    assert f"would fix {file}:1:1: E105 `parm` becomes `param`" in out
    assert "\n-parm sd, phi ~ HalfNormal(1)\n+param sd, phi ~ HalfNormal(1)\n" in out and "1 file: 2 errors" in out
    assert main(["check", "--fix", str(file)]) == 0
    out = capsys.readouterr().out
    assert file.read_text() == text.replace("parm", "param").replace("**", "^")
    assert "E106 `**` becomes `^`" in out and "2 places of" in out and "\x1b" not in out
    written = file.stat().st_mtime_ns
    assert main(["check", "--fix", str(file)]) == 0
    assert file.stat().st_mtime_ns == written and "fixed" not in capsys.readouterr().out


def test_what_cannot_be_mended_still_counts(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "m.ssm"
    file.write_text(lines(seen="y[t] ~ Normal(level[t], nothing**2)\n"))
    assert main(["check", "--fix", str(file)]) == 1
    out = capsys.readouterr().out
    assert "nothing^2" in file.read_text() and "unknown name `nothing`" in out
    worse = "obs y, z;\ny[t] ~ Normal(aa, 1)\nz[t] ~ Normal(bb, 1)\n"
    file.write_text(worse)
    assert main(["check", "--fix", str(file)]) == 1
    out = capsys.readouterr().out
    assert file.read_text() == worse and "left " in out and "there would be more errors" in out


def test_bytes_that_are_not_mended_stay(tmp_path: Path) -> None:
    file = tmp_path / "m.ssm"
    file.write_bytes(b"\xef\xbb\xbf" + use("sd**2").replace("\n", "\r\n").encode() + b"# caf\xc3\xa9")
    assert main(["check", "--fix", str(file)]) == 0
    assert file.read_bytes() == b"\xef\xbb\xbf" + use("sd^2").replace("\n", "\r\n").encode() + b"# caf\xc3\xa9"


def test_imported_files_are_not_touched(tmp_path: Path) -> None:
    other, file = tmp_path / "c.ssm", tmp_path / "m.ssm"
    component = "component c() {\n  let a = 2**3\n  out a\n}\n"
    other.write_text(component)
    file.write_text('from "./c.ssm" import c\npart p = c()\n' + use("p**2"))
    assert main(["check", "--fix", str(file)]) == 1
    assert other.read_text() == component and "p^2" in file.read_text()


def test_json_has_the_edits(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "m.ssm"
    file.write_text(use("sd**2"))
    assert main(["check", "--json", str(file)]) == 1
    found = json.loads(capsys.readouterr().out)
    (diagnostic,) = found["diagnostics"]
    (edit,) = diagnostic["fix"]["edits"]
    assert diagnostic["fix"]["applicability"] == "safe" and edit["content"] == "^" and "fixes" not in found
    assert (edit["location"], edit["end_location"]) == ({"row": 6, "column": 27}, {"row": 6, "column": 29})
    assert main(["check", "--json", "--fix", str(file)]) == 0
    found = json.loads(capsys.readouterr().out)
    (fixes,) = found["fixes"]
    assert fixes["written"] and not fixes["refused"] and "+y[t]" in fixes["diff"]
    assert fixes["applied"] == [{"code": "E106", "line": 6, "column": 27, "message": "`**` becomes `^`"}]
    page = (Path(__file__).parents[2] / "docs" / "checks.md").read_text()
    for key in {*fixes, *fixes["applied"][0], *diagnostic["fix"], "content", "location", "end_location", "fixes"}:
        assert f"`{key}`" in page, key


def test_usage(tmp_path: Path, capsys: Capture) -> None:
    assert main(["check", "--fix", "-"]) == 2
    assert main(["check", "--diff", str(tmp_path / "m.ssm")]) == 2
    assert main(["check", "--fix", str(tmp_path / "missing.ssm")]) == 1
    assert "E701" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "among", "meant"),
    [
        ("levle", ["level", "slope"], "level"),
        ("leve", ["level", "lever"], None),
        ("Level", ["level", "lever"], "level"),
        ("phi", ["psi"], None),
        ("phii", ["phi", "psi"], "phi"),
        ("theta", ["eta", "thetas"], None),
        ("sd1", ["sd2", "sd"], None),
        ("a", ["b", "ab"], None),
        ("rate", ["rato"], None),
        ("volatilty", ["volatility"], "volatility"),
        ("volatlty", ["volatility"], "volatility"),
        ("vltlty", ["volatility"], None),
    ],
)
def test_only_neighbour(name: str, among: list[str], meant: str | None) -> None:
    assert only_neighbour(name, among) == meant
