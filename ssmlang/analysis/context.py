"""What the checks of one model share: its symbols, its symbolic matrices, prior draws, matrices at a point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ssmlang.analysis.budget import Budget
from ssmlang.model.linear import LinearForm
from ssmlang.model.model import Model
from ssmlang.model.obstacles import Obstacle

if TYPE_CHECKING:
    import sympy as sp

    from ssmlang.analysis.constants import ConstantSystem
    from ssmlang.analysis.draws import PriorDraws
    from ssmlang.analysis.findings import Finding
    from ssmlang.analysis.numeric import NumericSystem
    from ssmlang.analysis.supports import Supports
    from ssmlang.analysis.symbolic import Translator
    from ssmlang.analysis.system import System

MOST_SYMBOLIC = 5_000
"""Systems with more coefficients than this are looked at in numbers alone."""


@dataclass(frozen=True)
class Context:
    """A model with what is known about how it will be used. Everything else is made when a check first asks for it.

    `rows`: how many rows the data have, where that is known. `data`: bound data sets (`ssmlang.data.Bound`).
    """

    model: Model
    form: LinearForm | tuple[Obstacle, ...]
    budget: Budget = field(default_factory=Budget)
    rows: int | None = None
    data: tuple[Any, ...] | None = None

    @property
    def linear(self) -> LinearForm | None:
        """The linear form, where the model has one of finite order."""
        return self.form if isinstance(self.form, LinearForm) and not self.form.whole_past else None

    @cached_property
    def supports(self) -> Supports:
        from ssmlang.analysis.supports import supports

        return supports(self.model)

    @property
    def symbols(self) -> Mapping[str, np.ndarray]:
        """By parameter, an object array of sympy symbols named as the user writes them (`phi[2]`), signs assumed."""
        return self.supports.symbols

    @cached_property
    def translate(self) -> Translator:
        """Expressions of the model as sympy object arrays."""
        from ssmlang.analysis.symbolic import Translator

        return Translator(self.model, self.symbols)

    def in_late_rows(self, found: list[Finding]) -> list[Finding]:
        """Findings of matrices in which conditions on the row number were decided, with a word on that."""
        decided = sorted(self.translate.decided) if "translate" in vars(self) else []  # where algebra was asked at all
        if not decided:
            return found
        where = f"line{'s' if len(decided) > 1 else ''} {', '.join(map(str, decided))}"
        note = f"said of late rows: the condition on the row number ({where}) is taken as it is from some row on"
        return [replace(f, details=(*f.details, note)) if f.verdict != "unknown" else f for f in found]

    @cached_property
    def system(self) -> System | None:
        """The symbolic matrices of a linear program of finite order; None of another, or of one too large."""
        form = self.linear
        if form is None or self.coefficients > MOST_SYMBOLIC:
            return None
        from ssmlang.analysis.symbolic import TooLarge
        from ssmlang.analysis.system import system_of

        try:
            return system_of(self.model, form, self.translate)
        except (TooLarge, KeyError):
            return None

    @cached_property
    def constant(self) -> ConstantSystem | None:
        """The matrices of a linear program of finite order where all coefficients of its states are plain numbers."""
        form = self.linear
        if form is None or self.coefficients > MOST_SYMBOLIC:
            return None
        from ssmlang.analysis.constants import constant_system

        return constant_system(self.model, form)

    @property
    def coefficients(self) -> int:
        """How many coefficients the linear form has."""
        if not isinstance(self.form, LinearForm):
            return 0
        rows = (self.form.transition, self.form.emission)
        return sum(m.nnz for r in rows for m in r.terms.values()) + sum(r.size for r in rows)

    def draws(self, count: int, seed: int = 0) -> list[dict[str, np.ndarray]]:
        """So many draws of all parameters from the prior, arrays by name; the same ones for the same arguments."""
        from ssmlang.analysis.draws import PriorDraws

        if seed not in self._drawn:
            self._drawn[seed] = PriorDraws(self.model, seed)
        return self._drawn[seed].first(count)

    @cached_property
    def _drawn(self) -> dict[int, PriorDraws]:
        return {}

    def numeric(self, point: Mapping[str, np.ndarray], row: int | None = None, read: Any = None) -> NumericSystem:
        """The matrices in double precision at parameter values. `row`, `read`: for programs that vary with the row."""
        from ssmlang.analysis.numeric import numeric_system

        assert isinstance(self.form, LinearForm)
        return numeric_system(self.form, point, row, read)

    def at(self, point: Mapping[str, np.ndarray]) -> dict[sp.Symbol, float]:
        """A parameter point as values of the symbols."""
        import sympy as sp

        return {
            s: float(v)
            for name, array in self.symbols.items()
            for s, v in zip(array.reshape(-1), np.asarray(point[name]).reshape(-1))
            if isinstance(s, sp.Symbol)
        }

    def line_of(self, name: str) -> int | None:
        """The line that declares a state, part, observation or parameter (`trend.level`, `x[0]`: of `x`)."""
        span = self.span_of(name)
        return span.source.position(span.start)[0] if span is not None else None

    def span_of(self, name: str) -> Any:
        """Where the file speaks of a series or parameter: its declaration, or the part whose inner name it is and whose
        component may stand in another file. `name` may be an entry of it."""
        part = self.model.definitions.get(name.split("[")[0].split(".")[0]) if "." in name.split("[")[0] else None
        return part.span if part is not None else self.declared_at(name)

    def declared_at(self, name: str) -> Any:
        """Where a series or parameter is declared, in whichever file; `name` may be an entry of it."""
        base = name.split("[")[0]
        model = self.model
        for group in (model.states, model.observations, model.parameters, model.inputs, model.noises,
                      model.definitions):  # fmt: skip
            if base in group:
                return group[base].span  # type: ignore[index]
        return next((lift.span for lift in model.lifts if lift.name == base), None)
