"""Which programs see their states through counts and categories alone."""

from __future__ import annotations

from ssmlang.model.model import Model

COUNTS = ("Poisson", "NegativeBinomial", "Bernoulli", "Binomial", "Categorical", "Multinomial")
"""Laws of whole numbers, and of labels."""


def counts_alone(model: Model) -> bool:
    """Whether there are observations, and every one is a count or a category."""
    laws = [e.law for e in model.equations if e.role == "emission"]
    return bool(laws) and all(law is not None and law.name in COUNTS for law in laws)
