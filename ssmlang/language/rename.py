"""What the names of a component's text mean where an instance of it stands.

Inside a component a name is an argument, a declaration of its own (which becomes `instance.name`), a bound index, a
label of an axis of its own, or known everywhere; it is never a name of the file that uses the component. An argument
keeps the meaning it has where it was written: indices of the component that would capture a name in it are renamed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ssmlang.language import syntax as s
from ssmlang.language.builtins import BUILTINS, EVERYWHERE
from ssmlang.language.diagnostics import Findings
from ssmlang.language.suggest import did_you_mean
from ssmlang.language.walk import names, rebuild


@dataclass(eq=False)
class Scope:
    """The names of a file (`prefix` is empty) or of an instance of a component."""

    prefix: str = ""
    arguments: Mapping[str, s.Expr] = field(default_factory=dict)
    locals: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    """The locals that are functions."""

    parts: dict[str, Scope | None] = field(default_factory=dict)
    """The instances in it; None for one that could not be made."""

    captured: frozenset[str] = frozenset()
    """Names that occur in the arguments."""

    open: bool = False
    """A file: names that it does not declare are for later stages to judge."""

    def full(self, name: str) -> str:
        return f"{self.prefix}.{name}" if self.prefix else name


def scope_of(
    statements: Iterable[s.Statement], prefix: str = "", arguments: Mapping[str, s.Expr] | None = None
) -> Scope:
    """The scope of the statements of a file, or of a component's body under its arguments."""
    own: set[str] = set()
    labels: set[str] = set()
    functions: set[str] = set()
    for statement in statements:
        own.update(name.id for name in declared(statement))
        if isinstance(statement, s.Def):
            functions.add(statement.name.id)
        if isinstance(statement, s.AxisDecl) and isinstance(statement.labels, s.LabelSet):
            labels.update(label.id for label in statement.labels.labels)
    given = dict(arguments or {})
    captured = frozenset().union(*(names(argument) for argument in given.values()))
    return Scope(
        prefix, given, frozenset(own), frozenset(labels), frozenset(functions), {}, captured, arguments is None
    )


def declared(statement: s.Statement) -> list[s.Name]:
    """The names that a statement declares."""
    match statement:
        case s.Const(decl):
            return [decl.name]
        case s.AxisDecl(name) | s.Def(name) | s.Part(name):
            return [name]
        case s.Param(decls) | s.Input(decls) | s.State(decls) | s.Noise(decls) | s.Obs(decls):
            return [decl.name for decl in decls]
        case s.Let(target) | s.Lift(target):
            return [target.name]
    return []


class Renamer:
    """Rewrites the statements of one scope."""

    def __init__(self, scope: Scope, findings: Findings) -> None:
        self.scope = scope
        self.findings = findings
        self.bound: list[dict[str, str]] = []

    def rewrite(self, node: Any) -> Any:
        """The node as it reads in the flat program."""
        match node:
            case s.Name():
                return self.name(node)
            case s.Member():
                return self.member(node)
            case s.Subscript(value, indices):
                return replace(node, value=self.rewrite(value), indices=tuple(self.index(index) for index in indices))
            case s.Call(function, arguments):
                return replace(
                    node,
                    function=self.function(function),
                    arguments=tuple(replace(a, value=self.rewrite(a.value)) for a in arguments),
                )
            case s.Comprehension() | s.Reduction():
                loops = self.enter(node.loops)
                body = self.rewrite(node.body)
                self.bound.pop()
                return replace(node, loops=loops, body=body)
            case s.Equation() | s.Init() | s.Let() | s.Sde():
                loops = self.enter(node.loops)
                equation = rebuild(replace(node, loops=()), self.rewrite)
                self.bound.pop()
                return replace(equation, loops=loops)
            case s.Def(_, params, body):
                frame = {p.id: self.fresh(p.id) for p in params}
                self.bound.append(frame)
                body = self.rewrite(body)
                self.bound.pop()
                own = tuple(replace(p, id=frame[p.id]) for p in params)
                return replace(node, name=self.name(node.name), params=own, body=body)
            case s.Target(name, indices):
                return replace(node, name=self.target(name), indices=tuple(self.index(i) for i in indices))
            case s.AxisDecl(name, labels):
                kept = labels if isinstance(labels, s.LabelSet) else self.rewrite(labels)
                return replace(node, name=self.name(name), labels=kept)
            case s.Param(support=s.Name() as region):
                return replace(rebuild(replace(node, support=None), self.rewrite), support=region)
        return rebuild(node, self.rewrite)

    # ------------------------------------------------------------------------------------------------ names

    def name(self, node: s.Name) -> Any:
        for frame in reversed(self.bound):
            if node.id in frame:
                return node if frame[node.id] == node.id else replace(node, id=frame[node.id])
        scope = self.scope
        if node.id in scope.arguments:
            return scope.arguments[node.id]
        if node.id in EVERYWHERE or scope.open:
            return node
        if node.id in scope.locals:
            return replace(node, id=scope.full(node.id))
        if node.id not in scope.labels and node.id not in BUILTINS:
            known = [*scope.arguments, *scope.locals, *scope.labels]
            self.findings.add(
                "E201",
                f"the component has no `{node.id}`",
                node.span,
                did_you_mean(node.id, known),
                help="inside a component only its arguments and its own declarations are known",
            )
        return node

    def index(self, node: s.Expr) -> Any:
        """An expression inside an index, where the label of an axis wins over other names."""
        if isinstance(node, s.Name) and node.id in self.scope.labels and not any(node.id in f for f in self.bound):
            return node
        return self.rewrite(node)

    def function(self, node: s.Expr) -> Any:
        """What is called: a function known everywhere keeps its name, whatever else bears it."""
        if isinstance(node, s.Name) and node.id in BUILTINS and node.id not in self.scope.functions:
            return node
        return self.rewrite(node)

    def target(self, node: s.Name) -> s.Name:
        """The name on the left side of an equation."""
        new = self.name(node)
        if isinstance(new, s.Name):
            return new
        self.findings.add(
            "E285",
            f"`{node.id}` gets an equation here, so its argument must be the name of a state or an observation",
            new.span,
            "not a name",
        )
        return node

    def member(self, node: s.Member) -> Any:
        """`trend.slope`, `trend.cycle.c`: a name inside an instance."""
        path: list[s.Name] = [node.name]
        value = node.value
        while isinstance(value, s.Member):
            path.insert(0, value.name)
            value = value.value
        if isinstance(value, s.Name):
            whole = replace(value, id=".".join([value.id, *(p.id for p in path)]), span=node.span)
            if any(whole.id in frame for frame in self.bound) or whole.id in self.scope.locals:
                return self.name(whole)  # declared with its dot, in a file that was written out flat
        bound = isinstance(value, s.Name) and any(value.id in frame for frame in self.bound)
        if not isinstance(value, s.Name) or bound or value.id not in self.scope.parts:
            shown = f"`{value.id}`" if isinstance(value, s.Name) else "this"
            label = did_you_mean(value.id, self.scope.parts) if isinstance(value, s.Name) else ""
            help_ = "`a.b` is the inner name b of an instance `part a = ...`"
            if path[-1].id in BUILTINS:
                help_ = f"functions bear bare names: `{path[-1].id}(...)`"
            self.findings.add("E287", f"{shown} has no inner names", value.span, label, help=help_)
            return s.Name(".".join(["_", *(p.id for p in path)]), span=node.span)
        inner = self.scope.parts[value.id]
        full, sound = self.scope.full(value.id), True
        for step in path:
            if inner is not None and step.id not in inner.locals:
                sound = False
                self.findings.add(
                    "E287",
                    f"`{full.removeprefix(self.scope.prefix + '.')}` has no inner name `{step.id}`",
                    step.span,
                    did_you_mean(step.id, inner.locals),
                    help=f"its names: {', '.join(sorted(inner.locals))}" if inner.locals else (),
                )
            inner = inner.parts.get(step.id) if inner is not None else None
            full += "." + step.id
        return s.Name(full if sound else "_." + full, span=node.span)

    # ---------------------------------------------------------------------------------------------- binding

    def fresh(self, name: str) -> str:
        return self.scope.full(name) if name in self.scope.captured else name

    def enter(self, loops: tuple[s.Loop, ...]) -> tuple[s.Loop, ...]:
        """Open a frame with the variables of the loops; each domain sees the variables before it."""
        frame: dict[str, str] = {}
        self.bound.append(frame)
        new = []
        for loop in loops:
            domain = self.rewrite(loop.domain)
            frame[loop.variable.id] = self.fresh(loop.variable.id)
            variable = replace(loop.variable, id=frame[loop.variable.id])
            new.append(replace(loop, variable=variable, domain=domain))
        return tuple(new)
