"""The whole of a flat program to a Model, with every finding on the way."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np

from ssmlang.language import syntax as syn
from ssmlang.language.diagnostics import Findings
from ssmlang.language.source import Span
from ssmlang.model import expr
from ssmlang.model.elaborate import checks, structure
from ssmlang.model.elaborate.equations import Equations
from ssmlang.model.elaborate.scope import RESERVED_DIMENSIONS, Problem, Scope, Symbol
from ssmlang.model.elaborate.values import NeedsUnroll
from ssmlang.model.model import Equation, InitialEquation, Model, Observation, State, StochasticDifferential

T = TypeVar("T")


def elaborate(
    program: syn.Program,
    *,
    name: str,
    findings: Findings,
    constants: Mapping[str, Any] | None = None,
    augment: Mapping[str, Any] | None = None,
) -> Model | None:
    """Check a flat program (no imports, components or parts) and build its Model.

    Findings are collected; a statement with an error is left out and the rest is checked. None where any error was
    found, here or before.
    """
    with _deep_recursion():
        return _Elaboration(program, name, findings, constants or {}, augment or {}).run()


@contextmanager
def _deep_recursion() -> Iterator[None]:
    """Nesting is bounded by the parser; definitions inside definitions multiply it."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, 20_000))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


class _Elaboration:
    def __init__(
        self,
        program: syn.Program,
        name: str,
        findings: Findings,
        constants: Mapping[str, Any],
        augment: Mapping[str, Any],
    ) -> None:
        self.program, self.name, self.findings = program, name, findings
        broken = {w for span in program.broken for w in re.findall(r"\w+", span.text)}
        self.scope = Scope(findings, broken=frozenset(broken))
        self.work = Equations(self.scope, constants, augment)
        self.failed: set[str] = set(broken)
        """Series with a broken equation or initial law: what is missing of them is not said again."""

    def attempt(self, action: Callable[[], T], span: Span, *symbols: Symbol) -> T | None:
        """Run one step; where it fails, a diagnostic stands and the names it was to give are unsound."""
        try:
            return action()
        except Problem:
            pass
        except expr.ExprError as error:
            self.findings.add("E207", error.message, span, error.label, help=error.help or ())
        except NeedsUnroll as need:
            self.findings.add(
                "E214", "this depends on a loop's index where a number is needed", span, need.variable.split("#")[0]
            )
        except RecursionError:
            self.findings.add("E215", "definitions are nested too deeply", span, "too deep to follow")
        except np.linalg.LinAlgError:
            self.findings.add("E215", "a constant matrix cannot be factored or inverted", span, "is singular")
        for symbol in symbols:
            symbol.sound = False
        return None

    def of(self, kind: type[T]) -> list[T]:
        return [s for s in self.program.statements if isinstance(s, kind)]

    def run(self) -> Model | None:
        """In the order of need: names, axes, constants, shapes, parameters, definitions, equations, initial laws."""
        scope, work = self.scope, self.work
        work.collect(self.program.statements)
        header = self.of(syn.Header)
        for extra in header[1:]:
            self.findings.add("E202", "a file describes one model", extra.span, "a second `model` line")
        for axis in self.of(syn.AxisDecl):
            self.attempt(partial(work.axis, axis), axis.span, scope.symbols[axis.name.id])
        constants: dict[str, np.ndarray] = {}
        for s in [x for x in scope.symbols.values() if x.sort == "const"]:
            node = self.attempt(partial(work.constant, s), s.span, s)
            if node is not None and node.is_const:
                constants[s.name] = np.asarray(node.value)
        for s in scope.symbols.values():
            if s.decl is not None and s.sort != "const":
                self.attempt(partial(work.shape, s), s.span, s)
        parameters = {
            p.name: p for st in self.of(syn.Param) for p in self.attempt(partial(work.parameters, st), st.span) or ()
        }  # type: ignore[misc]
        noises = {}
        for st in self.of(syn.Noise):
            for d in st.decls:
                if scope.symbols[d.name.id].sound:
                    noise = self.attempt(
                        partial(work.noise, st, d),
                        st.span,  # type: ignore[misc]
                        scope.symbols[d.name.id],
                    )
                    if noise is not None:
                        noises[noise.name] = noise
        states, observations, inputs = self._series()
        lifts = [x for st in self.of(syn.Lift) if (x := self.attempt(partial(work.lift, st), st.span))]
        definitions = {}
        for s in [x for x in scope.symbols.values() if x.sort == "let"]:
            used = s.used
            made = self.attempt(partial(work.definition, s), s.statement.span, s)
            s.used = used
            if made is not None:
                definitions[s.name] = made
        equations: list[Equation] = []
        for eq in self.of(syn.Equation):
            made_of = self.attempt(partial(work.equation, eq), eq.span)
            equations += made_of or []
            self.failed |= {t.name.id for t in eq.targets} if made_of is None else set()
        differentials: list[StochasticDifferential] = []
        for sde in self.of(syn.Sde):
            steps = self.attempt(partial(work.stochastic_differential, sde), sde.span)
            differentials += steps or []
            self.failed |= {sde.target.name.id} if steps is None else set()
        orders = structure.orders(equations, differentials, states)
        initials: list[InitialEquation] = []
        rows = {n: 1 if k is None else k for n, k in orders.items()}
        for init in self.of(syn.Init):
            laws = self.attempt(partial(work.initial, init, rows), init.span)
            initials += laws or []
            self.failed |= {t.name.id for t in init.targets} if laws is None else set()
        assertions = [
            a for st in self.of(syn.Assert) for a in self.attempt(partial(work.assertions, st), st.span) or ()
        ]  # type: ignore[misc]
        self._check_names(definitions)
        checks.check_functions(scope)
        checks.check_initial_circles(initials, self.findings)
        checks.check_differentials(differentials, self.findings)
        checks.check_step(bool(differentials), scope.symbols.get("dt"), constants, self.findings)
        equations = list(self._check_structure(states, observations, equations, initials, differentials, parameters))
        if self.findings.has_errors:
            return None
        reads = [n for e in [*equations, *initials] for n in structure.roots(e)] + [d.value for d in differentials]
        reads += [d.value for d in definitions.values() if d.series and d.value is not None]
        depth = structure.depths(reads, states)
        sized = {
            n: State(s.name, s.shape, s.axes, s.span, s.doc, s.values, orders[n], depth[n]) for n, s in states.items()
        }
        others = checks.reads_of([*definitions.values(), *lifts, *differentials])
        checks.warn_unused(self.scope, equations, others)
        checks.note_conditioned(equations, initials, observations, self.findings)
        return Model(
            header[0].name.id if header else self.name,
            self.program.doc, dict(scope.axes), constants, parameters, sized,
            observations, inputs, noises, definitions, tuple(equations), tuple(initials), tuple(differentials),
            tuple(lifts), tuple(assertions), tuple(work.missing),
        )  # fmt: skip

    def _series(self) -> tuple[dict[str, State], dict[str, Observation], dict[str, Any]]:
        states: dict[str, State] = {}
        observations: dict[str, Observation] = {}
        inputs: dict[str, Any] = {}
        for s in self.scope.symbols.values():
            if not s.sound or s.sort not in ("state", "obs", "input"):
                continue
            if s.sort == "input":
                inputs[s.name] = self.work.input(s)
                continue
            domain = self.attempt(lambda s=s: (self.work.discrete_values(s),), s.span, s)  # type: ignore[misc]
            if domain is None:
                continue
            doc = s.statement.doc
            if s.sort == "state":
                states[s.name] = State(s.name, s.shape, s.axes, s.span, doc, domain[0])
            else:
                observations[s.name] = Observation(s.name, s.shape, s.axes, s.span, doc, domain[0])
        declared = "obs" in self.failed or any(s.sort == "obs" for s in self.scope.symbols.values())
        if not observations and not declared:
            self.findings.add(
                "W223",
                "nothing is observed",
                self.program.span if not self.program.statements else self.program.statements[0].span,
                "no `obs` in this file",
                help="add `obs y` and its equation",
            )
        return states, observations, inputs

    def _check_structure(
        self,
        states: dict[str, State],
        observations: dict[str, Observation],
        equations: list[Equation],
        initials: list[InitialEquation],
        differentials: list[StochasticDifferential],
        parameters: dict[str, Any],
    ) -> tuple[Equation, ...]:
        whole = {n: v for n, v in {**states, **observations}.items() if n not in self.failed}
        structure.check_coverage(equations, differentials, whole, self.findings)
        ordered = structure.in_order(equations, self.findings)
        structure.check_parameter_circles(parameters, self.findings)
        if not self.failed:
            structure.check_initial_values(states, observations, ordered, initials, differentials, self.findings)
        return ordered

    def _check_names(self, definitions: Mapping[str, Any]) -> None:
        """Names that would clash among the dimensions of the results (E217)."""
        for s in self.scope.symbols.values():
            if s.sort == "axis" and s.name in RESERVED_DIMENSIONS:
                continue
            for axis in s.axes:
                if axis is not None and axis.name == s.name and s.sort != "axis":
                    self.findings.add("E217", f"`{s.name}` has the name of an axis it uses", s.span, "cannot be both")
