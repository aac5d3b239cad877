"""A program written out flat is a program: its text gives the model again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ssmlang.frontend import Checked, check_file, check_text
from ssmlang.language.printer import print_program
from ssmlang.language.render import render_text
from ssmlang.model.info import describe

ROOT = Path(__file__).resolve().parents[2] / "stdlib"
MODELS = sorted([*(ROOT / "models").glob("*.ssm"), *(ROOT / "starters").glob("*.ssm")])
PARTS = {
    "parts of parts, and names inside them": """model deep
from structural import local_linear_trend as trend_of, cycle, trigonometric_seasonal, autoregression, regression
component both(sd, n) {
  axis site = 1..n
  const weight[site] = [1 / i for i in site]
  def half(v) = v / 2
  param scale[site] ~ HalfNormal(1)
  noise e[site] ~ Normal(0, 1)
  state u[site], v
  part inner = trend_of(half(sd), sd)
  init u ~ Normal(0, 1)
  init v ~ Diffuse()
  u[t, i] = 0.5 * u[t-1, i] + scale[i] * e[t, i] for i in site
  v[t] ~ Normal(v[t-1], sd)
  let total[t] = sum(weight[i] * u[t, i] for i in site) + inner.slope[t]
  out total[t] + inner[t] + v[t]
}
axis covariate = {price, holiday}
param s ~ HalfNormal(1)
input X[covariate]
## the first of them
part a = both(s, 3)
part b = both(sd = 2 * s, n = 2)
part wave = cycle(20, 0.9, s)
obs y
y[t] ~ Normal(a[t] + b[t] + wave[t] + a.inner.level[t-1] + b.u[t, 2], s)
""",
    "an argument that an index of the component would capture": """model captured
component summed(w) {
  state x
  init x ~ Normal(0, 1)
  x[t] ~ Normal(sum(w * k * x[t-k] for k in 1..3), 1)
  out x[t]
}
param k ~ Normal(0, 1)
part p = summed(k / 10)
obs y
y[t] ~ Normal(p[t], 1)
""",
    "a discrete state and a differential equation inside parts": """model mixed
const dt = 0.1
component chain(stay) {
  axis regime = {calm, wild}
  state s in regime
  let P[regime, regime] = [[stay, 1 - stay], [1 - stay, stay]]
  init s ~ Categorical([0.5, 0.5])
  s[t] ~ Categorical(P[s[t-1]])
  out if s[t] == wild then 2 else 1
}
component ou(rate) {
  state x
  init x ~ Normal(0, 1)
  d(x) = -rate * x * dt + dW
  out x[t]
}
part c = chain(0.9)
part o = ou(2)
obs y
y[t] ~ Normal(o[t], c[t])
""",
}


def described(checked: Checked) -> dict[str, Any]:
    """What `info` says, without the lines of the text."""
    found = describe(checked.require())
    found.get("linear", {}).pop("factored", None)
    for obstacle in found.get("obstacles", []):
        del obstacle["line"], obstacle["text"]
    return found


def again(first: Checked) -> None:
    assert first.model is not None, render_text(first.findings)
    text = print_program(first.flat)
    second = check_text(text, name="flat.ssm", stem=first.model.name)
    assert second.model is not None, render_text(second.findings) + "\n\n" + text
    assert [d.code for d in second.findings] == [d.code for d in first.findings]
    assert described(second) == described(first)
    assert second.flat == first.flat
    assert print_program(second.flat) == text


@pytest.mark.parametrize("path", MODELS, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_shipped_models_written_out_flat(path: Path) -> None:
    again(check_file(path))


@pytest.mark.parametrize("text", PARTS.values(), ids=PARTS)
def test_parts_written_out_flat(text: str) -> None:
    again(check_text(text, name="parts.ssm"))
