"""The public surface is frozen, and importing it costs next to nothing."""

from __future__ import annotations

import ast
import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import ssmlang

PUBLIC = {
    "Diagnostic",
    "Fit",
    "Model",
    "Report",
    "SsmError",
    "SsmWarning",
    "__version__",
    "compile",
    "data",
    "engines",
    "explain",
    "format_text",
    "load",
}


def modules_after(statement: str) -> set[str]:
    """The modules that a fresh interpreter holds after a statement."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_names_are_frozen() -> None:
    assert set(ssmlang.__all__) == PUBLIC
    assert len(PUBLIC) < 25


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_name_is_there_and_documented(name: str) -> None:
    value = getattr(ssmlang, name)
    assert name == "__version__" or value.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'compille'"):
        _ = ssmlang.compille
    assert {name for name in dir(ssmlang) if not name.startswith("__")} == PUBLIC - {"__version__"}


def test_a_model_is_pickled_as_its_text() -> None:
    text = "from structural import local_level\nconst n = 1\nparam sd ~ HalfNormal(n)\npart level = local_level(sd)\n"
    model = ssmlang.compile(text + "obs y\ny[t] ~ Normal(level[t], 1)\n", constants={"n": 4}, augment={"sd": 0.1})
    model.form, model.priors  # noqa: B018  what has been worked out stays behind
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert again.name == model.name and again.constants == {"n": 4} and again.augment == {"sd": 0.1}
        assert again.spec.parameters.keys() == model.spec.parameters.keys()


def test_importing_brings_in_nothing_heavy() -> None:
    loaded = modules_after("import ssmlang")
    assert not loaded & {"jax", "numpyro", "numpy", "sympy", "xarray", "pandas", "lark", "matplotlib", "arviz"}


@pytest.mark.parametrize(
    ("command", "without"),
    [
        (["fmt", "--check"], {"jax", "numpyro", "sympy", "numpy", "xarray", "pandas", "rich"}),
        (["check"], {"jax", "numpyro", "xarray", "pandas", "arviz", "matplotlib"}),
    ],
)
def test_quick_commands_stay_light(command: list[str], without: set[str], nile: str) -> None:
    loaded = modules_after(f"from ssmlang.cli import main\nassert main({[*command, nile]!r}) == 0")
    assert "ssmlang.language.parser" in loaded
    assert not loaded & without


def test_importing_changes_no_setting_of_jax() -> None:
    code = (
        "import jax; before = dict(jax.config.values)\n"
        "import ssmlang; [getattr(ssmlang, name) for name in ssmlang.__all__]\n"
        "import ssmlang.running.fit, ssmlang.lowering.evaluate\n"
        "changed = {k for k, v in jax.config.values.items() if before[k] != v}\n"
        "assert not changed, changed"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_numpyro_is_imported_whole_before_its_parts() -> None:
    """ArviZ 1.x leaves a module that loads itself when it is read; a part imported first is made twice."""
    package = Path(ssmlang.__file__).parent
    for path in package.rglob("*.py"):
        names = [a.name if isinstance(node, ast.Import) else node.module or ""
                 for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)
                 for a in node.names]  # fmt: skip
        of_numpyro = [n for n in names if n.partition(".")[0] == "numpyro"]
        assert not of_numpyro or of_numpyro[0] == "numpyro", path
    lazy = (
        "import importlib.util, sys\nspec = importlib.util.find_spec('numpyro')\n"
        "spec.loader = importlib.util.LazyLoader(spec.loader)\nmodule = importlib.util.module_from_spec(spec)\n"
        "sys.modules['numpyro'] = module\nspec.loader.exec_module(module)\nimport ssmlang.lowering.laws\n"
        "assert 'distribution' in vars(sys.modules['numpyro.distributions'])\n"
    )
    subprocess.run([sys.executable, "-c", lazy], check=True)
