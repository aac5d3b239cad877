"""The magics in a real kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

MODEL = """%%ssm nile
## A level that wanders.
param sd_level ~ HalfNormal(50)
param sd_flow  ~ HalfNormal(150)

state level
obs   flow

init level ~ Normal(1000, 500)
level[t]   ~ Normal(level[t-1], sd_level)
flow[t]    ~ Normal(level[t], sd_flow)
"""


@pytest.fixture(scope="module")
def kernel() -> Iterator[NotebookClient]:
    """One kernel for all tests, each of which uses names of its own: a kernel takes seconds to start."""
    client = NotebookClient(nbformat.v4.new_notebook(), timeout=300, kernel_name="python3")
    with client.setup_kernel():
        run(client, "%load_ext ssmlang")
        yield client


def run(kernel: NotebookClient, *cells: str, go_on: bool = False) -> list[dict[str, Any]]:
    """Run cells; returns them. Raises where one fails, or goes on."""
    notebook = kernel.nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    kernel.allow_errors = go_on
    for number, cell in enumerate(notebook.cells):
        kernel.execute_cell(cell, number)
    return list(notebook.cells)


def texts(cell: dict[str, Any]) -> str:
    return "\n".join(str(o.get("text") or o.get("data", {}).get("text/plain", "")) for o in cell["outputs"])


def failure(kernel: NotebookClient, *cells: str) -> CellExecutionError:
    with pytest.raises(CellExecutionError) as caught:
        run(kernel, *cells)
    return caught.value


def test_a_cell_becomes_a_model_that_runs_and_shows_itself(kernel: NotebookClient) -> None:
    shown, used, fitted, looked = run(
        kernel,
        MODEL,
        "print(type(nile).__name__, sorted(nile.check().to_dict()))",
        "data = ssmlang.data.load('nile') if 'ssmlang' in dir() else __import__('ssmlang').data.load('nile')\n"
        "fit = nile.fit(data, method='mle')\nfit",
        "nile.check()",
    )
    for cell in (shown, fitted, looked):
        (html,) = [o["data"]["text/html"] for o in cell["outputs"] if "text/html" in o.get("data", {})]
        assert "sd_level" in html
        assert "http://" not in html.replace("http://www.w3.org", "") and "https://" not in html
        assert len(html) < 60_000
    assert texts(used).startswith("Model ")


def test_an_error_shows_its_carets_and_fails_the_run(kernel: NotebookClient) -> None:
    error = failure(kernel, MODEL.replace("Normal(level[t], sd_flow)", "Normal(levle[t], sd_flow)"))
    text = str(error)
    # Line 11 of the cell, the magic's own line being the first.
    assert "cell nile:11:21" in text
    assert "^^^^^" in text and "did you mean `level`?" in text
    assert "Traceback" not in text and ".py" not in text


def test_a_failed_cell_binds_nothing(kernel: NotebookClient) -> None:
    _, used = run(kernel, "%%ssm bad\nparam a ~ Nromal(0, 1)\n", "bad", go_on=True)
    (error,) = used["outputs"]
    assert error["ename"] == "NameError"


def test_braces_and_dollars_survive(kernel: NotebookClient) -> None:
    """IPython would otherwise put Python values in their place."""
    (cell,) = run(
        kernel,
        "plane = 'not this'\nget_ipython().run_cell_magic('ssm', 'm --quiet', "
        "'# $plane {plane}\\naxis plane = {east, north}\\nparam a[plane] ~ Normal(0, 1)\\n"
        "obs y[plane]\\ny[t] ~ Normal(a, 1)\\n')\nprint(m.check().facts)",
    )
    assert "a[plane]" in texts(cell)


def test_without_a_name_it_is_that_of_the_model(kernel: NotebookClient) -> None:
    (cell,) = run(kernel, "%%ssm --quiet\n# a model\nmodel own_name\nobs y\ny[t] ~ Normal(0, 1)\n")
    assert not cell["outputs"]
    (shown,) = run(kernel, "print(own_name)")
    assert "own_name" in texts(shown)


def test_options(kernel: NotebookClient, tmp_path: Any) -> None:
    file = tmp_path / "m.ssm"
    text = "const n = 1\nparam sd[n] ~ HalfNormal(1)\nobs y[n]\ny[t] ~ Normal(0, sd)\n"
    quiet, facts, loaded = run(
        kernel,
        f"%%ssm m --const n=3 --quiet --save {file}\n{text}",
        "print(m.check().facts)",
        f"%ssm_load {file} again",
    )
    assert quiet["outputs"] == []
    assert "3 parameters" in texts(facts)
    assert file.read_text() == text
    assert loaded["outputs"]


@pytest.mark.parametrize("line", ["%%ssm\n", "%%ssm 9lives\n", "%%ssm m --colour\n", "%%ssm m --const n\n"])
def test_wrong_usage_fails_the_cell_without_a_traceback(kernel: NotebookClient, line: str) -> None:
    assert "UsageError" in str(failure(kernel, line + "obs y\ny[t] ~ Normal(0, 1)\n"))


def test_explain(kernel: NotebookClient) -> None:
    (cell,) = run(kernel, "%ssm_explain E205")
    assert "initial value" in texts(cell)
    assert "UsageError" in str(failure(kernel, "%ssm_explain E999"))
