"""Write docs/errors.md from the registry of codes: `python -m docs.make_errors`."""

from __future__ import annotations

import re
from pathlib import Path

from ssmlang.language.codes import REGISTRY, Code, Example

PAGE = Path(__file__).resolve().parent / "errors.md"

ABOUT = {
    "1": "Syntax",
    "2": "Names, axes, shapes and lags",
    "3": "The structure of the model, and engines",
    "4": "Data and parameter values",
    "5": "Lifts",
    "6": "Proofs",
    "7": "Run time: numerical trouble, devices, files, missing extras",
}

HEAD = """# Errors

Every code, what it means, a program that provokes it and the same program mended. `ssmlang explain E205` prints the
same in a terminal. Wnnn is Ennn as a warning, Nnnn as a note. This page is made from the code by `make docs`.

`ssmlang check --fix` mends what has one certain mend, of these codes: {fixed}. Their entries say what is mended.
"""


def page() -> str:
    """The whole page as text."""
    fixed = ", ".join(sorted((e.code for e in REGISTRY.values() if e.fixes), key=lambda code: (code[1:], code[0])))
    parts = [HEAD.format(fixed=fixed)]
    for digit, about in ABOUT.items():
        entries = sorted((e for e in REGISTRY.values() if e.code[1] == digit), key=lambda e: e.code[1:] + e.code[0])
        if entries:
            parts.append(f"## {about}\n")
            parts += [_entry(entry) for entry in entries]
    return "\n".join(parts)


def _entry(entry: Code) -> str:
    return "\n".join(
        [
            f"### {entry.code}",
            "",
            f"**{entry.name}**: {entry.title}.",
            "",
            entry.explanation,
            "",
            *([f"`ssmlang check --fix` mends: {entry.fixes}.", ""] if entry.fixes else []),
            "Wrong:",
            "",
            *_example(entry.wrong),
            "",
            "Mended:",
            "",
            *_example(entry.mended),
            "",
        ]
    )


def _example(example: Example) -> list[str]:
    lines = _block(example.text, example.language)
    for name, content in example.files.items():
        lines += ["", f"with `{name}` beside it:", "", *_block(content, "ssm")]
    if example.constants:
        lines += ["", "with constants " + ", ".join(f"`{k} = {v}`" for k, v in example.constants.items())]
    return lines


def _block(text: str, language: str) -> list[str]:
    shown = [line if len(line) <= 200 else line[:200] + " ..." for line in text.rstrip("\n").splitlines()]
    if len(shown) > 40:
        shown = [*shown[:40], "..."]
    # A fence longer than any in the text, so that nothing in an example can end its block.
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return [fence + language, *shown, fence]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.name}: {len(REGISTRY)} codes")
