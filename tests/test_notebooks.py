"""The notebooks of real cases: stored as they ran, with models that compile, and (slow) run anew."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient

import ssmlang
from ssmlang.notebook import compile_cell

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
CASES = {"in_context", "lorenz96", "sir", "stochastic_volatility"}
MAGIC = re.compile(r"%%ssm (?P<line>(?P<name>\w+)[^\n]*)\n(?P<text>.*)", re.DOTALL)
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def code_of(path: Path) -> list[Any]:
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


def test_all_are_there_and_linked() -> None:
    assert {p.stem for p in NOTEBOOKS} == CASES
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert all(f"(notebooks/{p.name})" in index for p in NOTEBOOKS)


@each
def test_it_is_stored_as_it_ran(path: Path) -> None:
    cells = code_of(path)
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    outputs = [o for c in cells for o in c.outputs]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert any("image/png" in o.get("data", {}) for o in outputs)
    shown = json.dumps([{k: v for k, v in o.items() if k != "metadata"} for o in outputs])
    assert not re.search(r"site-packages|\.py:\d|/home/|/root/|/tmp/", shown)
    assert path.stat().st_size < 400_000


@each
def test_its_links_lead_somewhere(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(([^)#:]+)\)", cell.source):
                assert (path.parent / target).exists(), target


@each
def test_its_models_compile_and_its_code_names_what_there_is(path: Path) -> None:
    models = 0
    for cell in code_of(path):
        if found := MAGIC.match(cell.source):
            models += 1
            model = compile_cell(found["line"], found["text"], found["name"], {})
            assert model.spec.states and model.why()
            continue
        for node in ast.walk(ast.parse(TransformerManager().transform_cell(cell.source))):
            if isinstance(node, ast.Attribute) and re.fullmatch(r"ssmlang(\.\w+)+", ast.unparse(node)):
                value: Any = ssmlang
                for part in ast.unparse(node).split(".")[1:]:
                    value = getattr(value, part)
    assert models


@pytest.mark.slow
@each
def test_it_runs(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    elsewhere = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=1200, kernel_name="python3", resources=elsewhere).execute()
