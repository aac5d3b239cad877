"""Broken programs of every kind: each gives a model or findings, soon, and never anything else."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest

from ssmlang.frontend import check_text
from ssmlang.language.render import render_text
from ssmlang.model.linear import linear_form

MODELS = Path(__file__).resolve().parents[2] / "stdlib" / "models"
TEXTS = [p.read_text(encoding="utf-8") for p in sorted(MODELS.glob("*.ssm"))]
TOKENS = re.compile(r"\w+|\s+|[^\w\s]")
WORDS = [token for text in TEXTS for token in TOKENS.findall(text) if token.strip()]
NAMES = [w for w in WORDS if re.match(r"[^\W\d]", w)]
NUMBERS = [*(w for w in WORDS if w[0].isdigit()), "0", "-1", "100", "t"]
SECONDS = 1.0


def mutant(rng: random.Random, sort: str) -> str:
    """A shipped program with one to four of its tokens changed; `alike` puts names for names, numbers for numbers."""
    tokens = TOKENS.findall(rng.choice(TEXTS))
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        k = rng.choice([i for i, token in enumerate(tokens) if token.strip()])
        if sort == "alike":
            token = tokens[k]
            pool = NAMES if token in NAMES else NUMBERS if token[0].isdigit() else list("+-*/^@%<>~=,")
            tokens[k] = rng.choice(pool)
            continue
        kind = rng.choice(["replace", "drop", "insert", "swap"])
        if kind == "replace":
            tokens[k] = rng.choice(WORDS)
        elif kind == "drop":
            tokens[k] = ""
        elif kind == "insert":
            tokens.insert(k, rng.choice(WORDS))
        else:
            j = rng.randrange(len(tokens))
            tokens[k], tokens[j] = tokens[j], tokens[k]
    return "".join(tokens)


@pytest.mark.parametrize("sort", ["any", "alike"])
@pytest.mark.parametrize("seed", range(4))
def test_mutants_give_a_model_or_findings(seed: int, sort: str) -> None:
    rng = random.Random(f"{seed} {sort}")
    check_text(TEXTS[0], name="first.ssm", base=MODELS)  # the grammar's tables are made once
    for _ in range(25):
        text = mutant(rng, sort)
        start = time.process_time()
        checked = check_text(text, name="mutant.ssm", base=MODELS)
        if checked.model is None:
            assert any(d.severity == "error" for d in checked.findings), text
        else:
            linear_form(checked.model)
        assert time.process_time() - start < SECONDS, text
        for d in checked.findings:
            assert d.span is None or 0 <= d.span.start <= d.span.end <= len(d.span.source.text)
        assert "Traceback" not in render_text(checked.findings)
