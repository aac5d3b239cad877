"""What a whole program is checked for at the end: first values in a circle, names in unused functions, differentials,
observations that are conditioned on, and what nothing reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from ssmlang.language import syntax as syn
from ssmlang.language.builtins import BUILTINS, EVERYWHERE
from ssmlang.language.diagnostics import Findings
from ssmlang.language.walk import walk
from ssmlang.model import expr
from ssmlang.model.affine import NotAffine, affine
from ssmlang.model.elaborate.scope import NOUN, Scope, Symbol
from ssmlang.model.elaborate.structure import entries_read, roots
from ssmlang.model.expr import Node
from ssmlang.model.model import Equation, InitialEquation, Observation, StochasticDifferential


def check_initial_circles(initials: Sequence[InitialEquation], findings: Findings) -> None:
    """First values may be given from one another, in no circle (E206)."""
    giver = {(t.name, t.row, i): k for k, e in enumerate(initials) for t in e.targets for i in t.entries}
    reads: list[dict[tuple[str, int, int], Node]] = []
    for e in initials:
        found: dict[tuple[str, int, int], Node] = {}
        for sort, _, lag in expr.references(roots(e)):
            if sort in ("state", "obs") and isinstance(lag, int):
                found |= {(n, -lag, i): node for (n, i), node in entries_read(roots(e), sort, lag).items()}
        reads.append(found)
    graph = {k: {giver[r] for r in found if r in giver} for k, found in enumerate(reads)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        ring = set(circle.args[1])
        names = " and ".join(dict.fromkeys(f"`{initials[k].targets[0].name}`" for k in sorted(ring)))
        last = max(ring)
        node = next(n for r, n in reads[last].items() if giver.get(r) in ring)
        need = "need each other" if len(ring) > 1 else "needs itself"
        findings.add("E206", f"the first value of {names} {need}" if len(ring) == 1 else
                     f"the first values of {names} {need}", node.span or initials[last].span, "closes the circle",
                     help="give one of them without the other, or both jointly: `init (a, b) ~ ...`")  # fmt: skip


def check_differentials(differentials: Iterable[StochasticDifferential], findings: Findings) -> None:
    """Each term of a differential equation has dt or dW as a factor, once (E309)."""
    for d in differentials:
        form = affine(d.value, lambda sort, name, lag: sort == "increment")
        shape = "a differential equation is `d(x) = f * dt + q * dW`"
        if isinstance(form, NotAffine):
            findings.add("E309", "an increment stands as a factor, once in each term", form.span or d.span,
                         form.reason, help=shape)  # fmt: skip
        elif not form.constant.is_zero:
            findings.add("E309", "a term has neither `dt` nor `dW`", form.constant.span or d.span,
                         "does not vanish with the step", help=f"{shape}: multiply what is a rate by dt")  # fmt: skip


def check_step(continuous: bool, step: Symbol | None, constants: Mapping[str, Any], findings: Findings) -> None:
    """The time from row to row is one number (E207), and not negative (E416)."""
    if not continuous or step is None:
        return
    if step.shape:
        findings.add("E207", "`dt` is the time from row to row, one number", step.span, f"has shape {step.shape}",
                     help="write `input dt`")  # fmt: skip
    elif step.name in constants and not float(constants[step.name]) >= 0:
        findings.add("E416", f"`dt` is {float(constants[step.name]):g}", step.span, "is no time from row to row")


def check_functions(scope: Scope) -> None:
    """Names in functions that nothing calls, so that nothing else looks into them (E201)."""
    for symbol in list(scope.symbols.values()):
        statement = symbol.statement
        if symbol.sort != "def" or symbol.used or not isinstance(statement, syn.Def):
            continue
        own = {p.id for p in statement.params} | {n.variable.id for n in walk(statement) if isinstance(n, syn.Loop)}
        labels = {str(label) for axis in scope.axes.values() for label in axis.labels}
        keywords = {id(n.name) for n in walk(statement) if isinstance(n, syn.Argument)}
        for node in walk(statement.body):
            known = own | labels | BUILTINS | EVERYWHERE
            if isinstance(node, syn.Name) and id(node) not in keywords and node.id not in known | set(scope.symbols):
                scope.unknown(node.id, node.span)


def note_conditioned(
    equations: Iterable[Equation],
    initials: Iterable[InitialEquation],
    observations: Mapping[str, Observation],
    findings: Findings,
) -> None:
    """N224 for observations whose equation reaches before the data and that have no initial law."""
    given = {(t.name, t.row) for i in initials for t in i.targets}
    for e in equations:
        if e.role != "emission":
            continue
        reads = [n for n in expr.walk(roots(e)) if n.op == "ref" and n.attrs[0] in ("obs", "input")]
        lagged = [n for n in reads if isinstance(n.attrs[2], int) and n.attrs[2] > 0
                  and (n.attrs[1], n.attrs[2]) not in e.guarded]  # fmt: skip
        if not lagged:
            continue
        deepest = max(lagged, key=lambda n: n.attrs[2])
        before = lambda n, row: row < n.attrs[2] and (n.attrs[1], row - n.attrs[2]) not in given
        for name in dict.fromkeys(t.name for t in e.targets):
            if name not in observations:
                continue
            rows = [r for r in range(deepest.attrs[2]) if (name, r) not in given and any(before(n, r) for n in lagged)]
            if rows:
                shown = "row" if len(rows) == 1 else "rows"
                shown += f" {rows[0]}" + (f" {'to' if len(rows) > 2 else 'and'} {rows[-1]}" if len(rows) > 1 else "")
                findings.add(
                    "N224", f"`{name}` is conditioned on, not scored, at {shown}", deepest.span or e.span,
                    "reaches before the data", help=f"`init {name} ~ ...` would give its law there",
                )  # fmt: skip


def warn_unused(scope: Scope, equations: Sequence[Equation], others: Iterable[Node]) -> None:
    """W221 for what is declared and read by nothing; names inside parts are the component's own affair.

    Definitions are results, with a row and without: `let R0 = beta / gamma` is there to be looked at.
    """
    for s in scope.symbols.values():
        single = s.sort in ("const", "axis", "param", "def") and not s.series and "." not in s.name
        if not s.used and (single or s.sort in ("input", "noise")):
            noun = NOUN[s.sort].split(" ", 1)[1]
            scope.findings.add("W221", f"{noun} `{s.name}` is never used", s.span, "read by nothing")
    elsewhere = {name for sort, name, _ in expr.references(others) if sort == "state"}
    for e in equations:
        own = {t.name for t in e.targets}
        elsewhere |= {n for sort, n, _ in expr.references(roots(e)) if sort == "state" and own != {n}}
    for s in scope.symbols.values():
        if s.sort == "state" and s.name not in elsewhere and "." not in s.name:
            scope.findings.add("W221", f"nothing but itself reads state `{s.name}`", s.span,
                               "the data say nothing of it")  # fmt: skip


def reads_of(items: Iterable[Any]) -> list[Node]:
    """The expressions of definitions, lifts and differentials."""
    return [item.value for item in items if item.value is not None]
