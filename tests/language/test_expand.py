"""Imports and components: what the flat program is, and what may not be imported."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ssmlang.language.modules import MAX_IMPORT_DEPTH

from .reading import flatten, sound


def flat(text: str, base: Path | None = None) -> list[str]:
    """The statements of the flat program, which has nothing wrong."""
    shown, found = flatten(text, base)
    assert not found, found
    return [line for line in shown.splitlines() if line and not line.startswith("#")]


def codes(text: str, base: Path | None) -> list[str]:
    return [d.code for d in flatten(text, base)[1]]


TREND = """\
component trend(sd_level, sd_slope) {
  state level, slope
  init level, slope ~ Diffuse()
  level[t] ~ Normal(level[t-1] + slope[t-1], sd_level)
  slope[t] ~ Normal(slope[t-1], sd_slope)
  out level[t]
}
"""


def test_an_instance_has_names_of_its_own() -> None:
    text = TREND + "param a ~ D\npart x = trend(a, sd_slope = 2 * a)\nobs y\ny[t] ~ Normal(x[t] + x.slope[t-1], 1)\n"
    assert flat(text) == [
        "param a ~ D",
        "state x.level, x.slope",
        "init x.level, x.slope ~ Diffuse()",
        "x.level[t] ~ Normal(x.level[t-1] + x.slope[t-1], a)",
        "x.slope[t] ~ Normal(x.slope[t-1], 2 * a)",
        "let x[t] = x.level[t]",
        "obs y",
        "y[t] ~ Normal(x[t] + x.slope[t-1], 1)",
    ]


def test_arguments_keep_their_grouping() -> None:
    shown = flat("component c(a) {\n  out 2 * a ^ a\n}\nconst b = 1\npart x = c(b + 1)\n")
    assert shown[-1] == "let x = 2 * (b + 1)^(b + 1)"


def test_a_value_without_time_is_no_series() -> None:
    assert flat("component c(a) {\n  out a\n}\npart x = c(3)\nlet y = x\n") == ["let x = 3", "let y = x"]


def test_parts_within_parts() -> None:
    text = TREND + (
        "component both(sd) {\n  part one = trend(sd, sd)\n  part two = trend(1, 2)\n"
        "  out one[t] + two.slope[t-1]\n}\npart b = both(3)\nlet z[t] = b.one.level[t] + b.two[t]\n"
    )
    shown = flat(text)
    assert "b.two.level[t] ~ Normal(b.two.level[t-1] + b.two.slope[t-1], 1)" in shown
    assert "let b.one[t] = b.one.level[t]" in shown
    assert shown[-2:] == ["let b[t] = b.one[t] + b.two.slope[t-1]", "let z[t] = b.one.level[t] + b.two[t]"]


def test_a_component_may_declare_everything_of_its_own() -> None:
    text = (
        "component c(n) {\n  axis lag = 1..n\n  axis fate = {alive, n_}\n"
        "  param phi[lag] in stationary ~ Normal(0, 1)\n"
        "  const k = 2\n  noise e ~ Normal(0, k)\n  def f(v) = v + k\n  state s in fate\n  input u[lag]\n"
        "  let w[fate] = [1, 2]\n  init s ~ Categorical(w)\n  s[t] ~ Categorical(if s[t-1] == alive then w else w)\n"
        "  out sum(phi[j] * f(u[t, j]) for j in lag) + e[t] + w[alive]\n}\npart p = c(3)\n"
    )
    assert flat(text) == [
        "axis p.lag = 1..3",
        "axis p.fate = {alive, n_}",
        "param p.phi[p.lag] in stationary ~ Normal(0, 1)",
        "const p.k = 2",
        "noise p.e ~ Normal(0, p.k)",
        "def p.f(v) = v + p.k",
        "state p.s in p.fate",
        "input p.u[p.lag]",
        "let p.w[p.fate] = [1, 2]",
        "init p.s ~ Categorical(p.w)",
        "p.s[t] ~ Categorical(if p.s[t-1] == alive then p.w else p.w)",
        "let p[t] = sum(p.phi[j] * p.f(p.u[t, j]) for j in p.lag) + p.e[t] + p.w[alive]",
    ]


def test_an_argument_means_what_it_means_where_it_was_written() -> None:
    """A component's own `k`, bound or declared, does not capture the k of an argument."""
    component = "component c(a) {\n  const b = 7\n  def f(v) = v * a\n  out sum(a * k for k in 1..b) + f(b)\n}\n"
    shown = flat(component + "const k = 1\nconst b = 2\nconst v = 3\npart x = c(k + b + v)\n")
    assert shown[3:] == [
        "const x.b = 7",
        "def x.f(x.v) = x.v * (k + b + v)",
        "let x = sum((k + b + v) * x.k for x.k in 1..x.b) + x.f(x.b)",
    ]


def test_a_component_sees_nothing_of_the_file_around_it() -> None:
    assert codes("const mu = 1\ncomponent c() {\n  out mu\n}\npart x = c()\n", None) == ["E201"]
    assert codes("def g(v) = v\ncomponent c() {\n  out g(1)\n}\npart x = c()\n", None) == ["E201"]


def test_names_of_functions_stay_functions() -> None:
    shown = flat("component c(gamma) {\n  out gamma(gamma)\n}\nconst n = 3\npart x = c(n)\n")
    assert shown[-1] == "let x = gamma(n)"


def test_a_component_without_an_instance_is_looked_at_too() -> None:
    assert codes("component c(a) {\n  out b\n}\n", None) == ["E201"]
    assert flat("component c(a) {\n  out a\n}\n") == []


def test_docs_come_along() -> None:
    shown, _ = flatten("component c() {\n  ## Inner.\n  const k = 2\n  out k\n}\n## Outer.\npart x = c()\n")
    assert shown == "## Inner.\nconst x.k = 2\n\n## Outer.\nlet x = x.k\n"


def test_a_failed_part_is_not_complained_of_twice() -> None:
    found = flatten("from structural import nothing as n\npart x = n(1)\nlet y[t] = x.level[t]\n")[1]
    assert [d.code for d in found] == ["E283"]


# ------------------------------------------------------------------------------------------------------ imports


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".ssm")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_imports_from_files_in_the_folder_and_below(tmp_path: Path) -> None:
    write(
        tmp_path,
        one='from "./parts/two.ssm" import inner as i\ncomponent outer(a) {\n  part p = i(a)\n  out p\n}\n',
        parts__two="component inner(a) {\n  part q = helper(a)\n  out q\n}\ncomponent helper(a) {\n  out a + 1\n}\n",
    )
    assert flat('from "./one.ssm" import outer\npart x = outer(5)\n', tmp_path) == [
        "let x.p.q = 5 + 1",
        "let x.p = x.p.q",
        "let x = x.p",
    ]


def test_what_a_module_imports_it_does_not_hand_on(tmp_path: Path) -> None:
    write(tmp_path, one="from structural import seasonal\n")
    assert codes('from "one.ssm" import seasonal\n', tmp_path) == ["E283"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("../outside.ssm", "E281"),
        ("./in/../../outside.ssm", "E281"),
        ("in/link.ssm", "E281"),
        ("linked/outside.ssm", "E281"),
        ("..\\\\outside.ssm", "E281"),
        ("C:/outside.ssm", "E281"),
        ("/etc/passwd", "E281"),
        ("~/outside.ssm", "E281"),
        ("file:///etc/passwd", "E281"),
        ("in", "E280"),
        ("in/data.txt", "E280"),
        ("in/binary.ssm", "E280"),
        ("in/circle.ssm", "E280"),
        ("", "E280"),
    ],
)
def test_nothing_outside_is_opened(tmp_path: Path, path: str, code: str) -> None:
    home = tmp_path / "home"
    (home / "in").mkdir(parents=True)
    write(tmp_path, outside="component a() {\n  out 1\n}\n")
    (home / "in" / "link.ssm").symlink_to(tmp_path / "outside.ssm")
    (home / "linked").symlink_to(tmp_path)
    (home / "in" / "data.txt").write_text("secret")
    (home / "in" / "binary.ssm").write_bytes(b"\xff\xfe\x00")
    os.symlink("circle.ssm", home / "in" / "circle.ssm")
    assert codes(f'from "{path}" import a\n', home) == [code]


def test_a_module_below_may_not_climb_back(tmp_path: Path) -> None:
    write(tmp_path, main="component a() {\n  out 1\n}\n", sub__part='from "../main.ssm" import a\n')
    assert sorted(codes('from "./sub/part.ssm" import b\n', tmp_path)) == ["E281", "E283"]


def test_circles_of_files(tmp_path: Path) -> None:
    component = "component {0}() {{\n  out 1\n}}\n"
    write(
        tmp_path,
        one='from "./two.ssm" import b\n' + component.format("a"),
        two='from "./one.ssm" import a\n' + component.format("b"),
        m='from "./m.ssm" import a\n',
    )
    assert codes('from "./one.ssm" import a\n', tmp_path) == ["E282"]
    assert codes('from "./m.ssm" import a\n', tmp_path) == ["E282"]


def test_imports_have_a_depth(tmp_path: Path) -> None:
    files = {
        f"f{i}": f'from "./f{i + 1}.ssm" import c{i + 1}\ncomponent c{i}() {{\n  out 1\n}}\n'
        for i in range(MAX_IMPORT_DEPTH + 3)
    }
    write(tmp_path, **files)
    assert codes('from "./f0.ssm" import c0\n', tmp_path) == ["E282"]


def test_text_without_a_folder_imports_from_the_library_only() -> None:
    assert codes('from "./one.ssm" import a\n', None) == ["E281"]
    assert flat("from structural import local_level as l\npart x = l(1)\n", None)[0] == "state x.level"


def test_errors_in_an_imported_file_point_into_it(tmp_path: Path) -> None:
    write(tmp_path, one="component a() {\n  out 1 $\n}\n")
    found = flatten('from "./one.ssm" import a\n', tmp_path)[1]
    (place,) = [d.span.source.name for d in found if d.span and d.code == "E103"]
    assert place == "one.ssm"


# ------------------------------------------------------------------------------------------------------ bounds


def test_parts_that_multiply_are_stopped() -> None:
    doubling = "component c0() {\n  state x\n  out x[t]\n}\n" + "".join(
        f"component c{i}() {{\n  part p = c{i - 1}()\n  part q = c{i - 1}()\n  out p[t] + q[t]\n}}\n"
        for i in range(1, 40)
    )
    assert codes(doubling + "part x = c39()\n", None) == ["E288"]


def test_arguments_cannot_be_nested_past_the_bound() -> None:
    deeper = "component c0(a) {\n  out a\n}\n" + "".join(
        f"component c{i}(a) {{\n  part p = c{i - 1}({'-' * 100}a)\n  out p\n}}\n" for i in range(1, 9)
    )
    assert "E288" in codes(deeper + "part x = c8(1)\n", None)


def test_the_flat_program_is_a_program() -> None:
    """Apart from dotted names the flat program is legal text: with them joined it parses to itself."""
    shown, _ = flatten(TREND + "part x = trend(1, 2)\nobs y\ny[t] ~ Normal(x[t], 1)\n")
    joined = shown.replace("x.level", "x_level").replace("x.slope", "x_slope")
    sound(joined)
