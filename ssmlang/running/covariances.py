"""Covariance matrices that are none at the parameters given: named where a result is not a number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import jax
import numpy as np

from ssmlang.language.diagnostics import Diagnostic
from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.model import _numeric as numeric
from ssmlang.model import expr
from ssmlang.model.loading import ANY_RANK
from ssmlang.model.model import Dist, Model


def no_covariance(model: Model, params: Mapping[str, Any]) -> Diagnostic | None:
    """E721 of the first covariance that parameters alone give and that is none."""
    for law in _laws(model):
        cov = law.args.get("cov")
        if cov is None or expr.references([cov]) or expr.varies([cov]):
            continue
        with jax.enable_x64(True):
            (value,) = evaluate([cov], Environment(params))
        whole = np.asarray(value)
        whole = 0.5 * (whole + np.swapaxes(whole, -1, -2))
        for each in whole.reshape(-1, *whole.shape[-2:]):
            if np.isfinite(each).all() and np.isnan(numeric.evaluate("cholesky", ANY_RANK, [each])).any():
                least = float(np.linalg.eigvalsh(each)[0])
                return Diagnostic(
                    "E721", "at these parameters a matrix is no covariance", cov.span or law.span,
                    f"its least eigenvalue is {least:.3g}, and none may be negative",
                    help=("look at the parameters; `L @ L'` is a covariance whatever the numbers in `L` are",),
                )  # fmt: skip
    return None


def _laws(model: Model) -> Iterator[Dist]:
    laws = [e.law for e in model.equations], [i.law for i in model.initials], [n.law for n in model.noises.values()]
    yield from (law for law in chain.from_iterable(laws) if law is not None)
