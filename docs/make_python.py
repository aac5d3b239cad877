"""Write docs/python.md from the docstrings of the public surface: `python -m docs.make_python`."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import ssmlang
from ssmlang import engines
from ssmlang.results.diagnosis import Diagnosis
from ssmlang.running.stream import Stream

PAGE = Path(__file__).resolve().parent / "python.md"

HEAD = """# The Python interface

The whole public surface, made from its docstrings by `make docs`. Results are described in
[the conventions](conventions.md). Everything that is wrong with what a user hands in is an `ssmlang.SsmError`, whose
`diagnostics` are the findings, each with a [code](errors.md).
"""

FUNCTIONS = ("compile", "load", "explain", "format_text")
CLASSES: dict[type, tuple[str, str]] = {
    ssmlang.Model: ("ssmlang.Model", "A compiled model: what `ssmlang.compile` returns."),
    ssmlang.Fit: ("ssmlang.Fit", "What `Model.fit` returns, and `ssmlang.load` of a file that it saved."),
    Stream: ("Stream", "What `Model.initial_state` and `Model.step` return."),
    Diagnosis: ("Diagnosis", "What `Model.diagnose` returns."),
    ssmlang.Report: ("ssmlang.Report", "What `Model.check` returns; prints as text, and as HTML in a notebook."),
}
INTERNAL = frozenset({"bind", "execution", "form", "priors", "typical", "params_of", "portable_text", "name"})


def page() -> str:
    """The whole page as text."""
    parts = [HEAD, "## Functions\n"]
    parts += [_callable(f"ssmlang.{name}", getattr(ssmlang, name)) for name in FUNCTIONS]
    for cls, (name, about) in CLASSES.items():
        parts += [f"## {name}\n", f"{about}\n", *_members(cls)]
    parts += ["## Options of engines\n", "Classes of `ssmlang.engines`; [which is for what](engines.md).\n"]
    parts += [_options(getattr(engines, name)) for name in sorted(engines.__all__) if _is_engine(name)]
    parts += ["## Data sets\n", "`ssmlang.data.load(name)` gives a pandas frame. There are: "
              + ", ".join(f"`{name}`" for name in ssmlang.data.names()) + ".\n"]  # fmt: skip
    return "\n".join(parts)


def _members(cls: type) -> Iterator[str]:
    for name, member in vars(cls).items():
        if name.startswith("_") or name in INTERNAL:
            continue
        if isinstance(member, property | cached_property):
            yield f"### {name}\n\n{_text(member)}\n"
        elif inspect.isfunction(member):
            yield _callable(name, member)


def _callable(name: str, function: Any) -> str:
    signature = re.sub(r"""(: |-> )(["'])(.*?)\2(?=[,)= ]|$)""", r"\1\3", str(inspect.signature(function)))
    signature = re.sub(r"^\(self(, )?", "(", signature)
    return f"### {name.rpartition('.')[2]}\n\n```text\n{_wrapped(name + signature)}\n```\n\n{_text(function)}\n"


def _wrapped(signature: str) -> str:
    if len(signature) <= 110:
        return signature
    name, _, rest = signature.partition("(")
    arguments, end = rest.rpartition(")")[0], rest.rpartition(")")[2]
    parts = re.split(r", (?=\*|\w+:)", arguments)
    filled = textwrap.wrap(", ".join(p.replace(" ", "\0") for p in parts), 106)
    return "\n".join([f"{name}(", *("    " + line.replace("\0", " ") for line in filled), f"){end}"])


def _is_engine(name: str) -> bool:
    found = getattr(engines, name)
    return inspect.isclass(found) and dataclasses.is_dataclass(found) and hasattr(found, "requires")


def _options(cls: type) -> str:
    said = _said_of_fields(cls)
    rows = [f"- `{f.name} = {f.default!r}`{': ' + said[f.name] if f.name in said else ''}"
            for f in dataclasses.fields(cls) if f.init]  # fmt: skip
    return "\n".join([f"### {cls.__name__}\n", f"{_text(cls)}\n", *rows, *([""] if rows else [])])


def _said_of_fields(cls: type) -> dict[str, str]:
    """The strings that stand below fields, of a class and of what it derives from."""
    found: dict[str, str] = {}
    for one in reversed(cls.__mro__[:-1]):
        if not dataclasses.is_dataclass(one):
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        assert isinstance(definition, ast.ClassDef)
        for field, below in zip(definition.body, definition.body[1:]):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                    found[name] = re.sub(r"\s+", " ", said).rstrip(".")
    return found


def _text(thing: Any) -> str:
    said = inspect.getdoc(thing)
    assert said, f"{thing} has no docstring"
    return re.sub(r"docs/(\w+)\.md", r"[\1](\1.md)", said.replace("`docs/conventions.md`", "docs/conventions.md"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.name}: {page().count('### ')} entries")
