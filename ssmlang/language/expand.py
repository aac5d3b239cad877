"""Expansion: from a file with imports, components and parts to one flat program."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from ssmlang.language import syntax as s
from ssmlang.language.build import MAX_DEPTH
from ssmlang.language.diagnostics import Findings
from ssmlang.language.modules import Loader, Module
from ssmlang.language.rename import Renamer, Scope, declared, scope_of
from ssmlang.language.source import Span
from ssmlang.language.suggest import did_you_mean
from ssmlang.language.walk import children, deep_recursion, walk

MAX_NODES = 300_000
MAX_INSTANCES_DEEP = 64


def expand(program: s.Program, *, base: Path | None, findings: Findings) -> s.Program:
    """The flat program: no Import, Component, Part, Out or Member node is left.

    An instance `part trend = local_linear_trend(a, b)` gives the component's statements with the names `trend.level`,
    `trend.slope`, the arguments in the place of its parameters, and `let trend[t] = ...` for what it puts `out`
    (without `[t]` where that does not depend on t). Spans keep pointing into the component's text.

    `base`: the folder of the file, which imports by path may not leave; None for a text without one. What goes wrong is
    reported in `findings` (E201, E202, E28x) and left out; its places join `Program.broken`.
    """
    with deep_recursion():
        return _Expansion(findings).run(program, base)


class _TooLarge(Exception):
    """The flat program passes a bound."""


@dataclass
class _Size:
    """How large trees are: nodes counted as often as they occur, and depth; each distinct node is measured once."""

    known: dict[int, tuple[int, int]] = field(default_factory=dict)
    keep: list[s.Node] = field(default_factory=list)

    def measure(self, node: s.Node) -> tuple[int, int]:
        stack: list[tuple[s.Node, bool]] = [(node, False)]
        while stack:
            top, ready = stack.pop()
            if id(top) in self.known:
                continue
            below = list(children(top))
            if ready:
                sizes = [self.known[id(child)] for child in below]
                self.known[id(top)] = (1 + sum(n for n, _ in sizes), 1 + max((d for _, d in sizes), default=0))
                self.keep.append(top)
            else:
                stack.append((top, True))
                stack.extend((child, False) for child in below)
        return self.known[id(node)]


class _Expansion:
    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.statements: list[s.Statement] = []
        self.broken: list[Span] = []
        self.nodes = 0
        self.size = _Size()
        self.stack: list[s.Component] = []
        self.used: set[int] = set()
        self.parts: list[tuple[Span, Span]] = []
        self.outermost: Span | None = None

    def run(self, program: s.Program, base: Path | None) -> s.Program:
        loader = Loader(self.findings)
        module = loader.open(program, _key(program, base), base)
        self.broken.extend(span for m in [*loader.loaded.values()] for span in m.program.broken)
        statements = tuple(st for st in program.statements if not isinstance(st, s.Import | s.Component))
        try:
            self.body(statements, scope_of(statements), module)
            self.check_unused(module)
        except _TooLarge:
            pass
        return replace(program, statements=tuple(self.statements), comments=(), broken=tuple(self.broken),
                       parts=tuple(self.parts))  # fmt: skip

    def check_unused(self, module: Module) -> None:
        """Components of the file itself without an instance are expanded once, to see that they would."""
        kept, self.statements = self.statements, []
        for component, home in module.components.values():
            if home is module and id(component) not in self.used:
                arguments = {p.id: s.Name(p.id, span=p.span) for p in component.params}
                self.instance(component, module, scope_of(component.body, component.name.id, arguments), None)
        self.statements = kept

    # --------------------------------------------------------------------------------------------- one scope

    def body(self, statements: tuple[s.Statement, ...], scope: Scope, module: Module) -> None:
        """Append the statements of a file or an instance, as they read in the flat program."""
        made = {id(st): self.prepare(st, scope, module) for st in statements if isinstance(st, s.Part)}
        renamer = Renamer(scope, self.findings)
        for statement in statements:
            if not isinstance(statement, s.Part):
                self.append(renamer.rewrite(statement))
                continue
            found = made[id(statement)]
            if found is None:
                self.broken.append(statement.span)
            else:
                component, home, inner = found
                inner.arguments = {name: renamer.rewrite(value) for name, value in inner.arguments.items()}
                rescoped = scope_of(component.body, inner.prefix, inner.arguments)
                inner.captured = rescoped.captured
                self.instance(component, home, inner, statement)

    def prepare(self, part: s.Part, scope: Scope, module: Module) -> tuple[s.Component, Module, Scope] | None:
        """Find the component of a part and bind its arguments, as written."""
        scope.parts[part.name.id] = None
        found = module.components.get(part.component.id)
        if found is None:
            if part.component.id not in module.missing:
                self.unknown_component(part, module)
            return None
        component, home = found
        self.used.add(id(component))
        arguments = self.bind(part, component)
        if arguments is None:
            return None
        inner = scope_of(component.body, scope.full(part.name.id), arguments)
        scope.parts[part.name.id] = inner
        return component, home, inner

    def instance(self, component: s.Component, home: Module, scope: Scope, part: s.Part | None) -> None:
        """Append the statements of an instance, and its value under its own name."""
        place = part.span if part is not None else component.name.span
        if any(above is component for above in self.stack):
            self.findings.add("E286", f"the component `{component.name.id}` contains itself", place, "here")
            self.broken.append(place)
            return
        if len(self.stack) >= MAX_INSTANCES_DEEP:
            self.too_large(f"parts are nested more than {MAX_INSTANCES_DEEP} deep", place)
        self.check_parameters(component)
        if part is not None and not self.stack:
            self.outermost = part.span
        if self.outermost is not None:
            self.parts.append((self.outermost, component.span))
        self.stack.append(component)
        out = next((st for st in component.body if isinstance(st, s.Out)), None)
        self.body(tuple(st for st in component.body if not isinstance(st, s.Out)), scope, home)
        if out is not None:
            value = Renamer(scope, self.findings).rewrite(out.value)
            self.append(self.value_of(out, value, scope.prefix, part), place)
        elif part is not None:
            self.broken.append(part.name.span)
        self.stack.pop()
        if not self.stack:
            self.outermost = None

    def value_of(self, out: s.Out, value: s.Expr, name: str, part: s.Part | None) -> s.Let:
        span = part.name.span if part is not None else out.span
        self.count(value, span)
        series = any(isinstance(node, s.Name) and node.id == "t" for node in walk(value))
        indices = (s.Name("t", span=span),) if series else ()
        target = s.Target(s.Name(name, span=span), indices, span=span)
        return s.Let(target, value, (), doc=part.doc if part is not None else None, span=out.span)

    # --------------------------------------------------------------------------------------------- arguments

    def bind(self, part: s.Part, component: s.Component) -> dict[str, s.Expr] | None:
        """The arguments of a part by the names of the component's parameters, or None with what is wrong reported."""
        params = [p.id for p in component.params]
        bound: dict[str, s.Expr] = {}
        sound = True
        for index, argument in enumerate(part.arguments):
            name = argument.name.id if argument.name is not None else params[index] if index < len(params) else None
            if name is None:
                self.wrong_argument(part, component, "too many arguments", argument.span, f"at most {len(params)}")
            elif name not in params:
                message = f"`{component.name.id}` has no argument `{name}`"
                self.wrong_argument(part, component, message, argument.span, did_you_mean(name, params))
            elif name in bound:
                self.wrong_argument(
                    part, component, f"the argument `{name}` is given twice", argument.span, "again here"
                )
            else:
                bound[name] = argument.value
                continue
            sound = False
        missing = [p for p in params if p not in bound]
        if sound and missing:
            shown = ", ".join(f"`{p}`" for p in missing)
            what = "an argument is" if len(missing) == 1 else "arguments are"
            message = f"{what} missing: {shown}"
            self.wrong_argument(part, component, message, part.span, "")
            sound = False
        return bound if sound else None

    def wrong_argument(self, part: s.Part, component: s.Component, message: str, span: Span, label: str) -> None:
        signature = f"{component.name.id}({', '.join(p.id for p in component.params)})"
        self.findings.add("E285", message, span, label, help=f"the component is {signature}")

    def unknown_component(self, part: s.Part, module: Module) -> None:
        name = part.component
        known = list(module.components)
        library = f"from the standard library: `from structural import {name.id}`"
        help_ = (library,) if module.base is not None and name.id in _structural() else ()
        self.findings.add(
            "E284", f"no component is named `{name.id}`", name.span, did_you_mean(name.id, known), help=help_
        )

    def check_parameters(self, component: s.Component) -> None:
        params: set[str] = set()
        own = {name.id: name for statement in component.body for name in declared(statement)}
        for param in component.params:
            if param.id in params:
                self.findings.add("E202", f"there are two arguments named `{param.id}`", param.span, "the second one")
            elif param.id in own:
                message = f"`{param.id}` is an argument of the component"
                self.findings.add("E202", message, own[param.id].span, "declared again here")
            params.add(param.id)

    # ------------------------------------------------------------------------------------------------ bounds

    def append(self, statement: s.Statement, place: Span | None = None) -> None:
        if self.count(statement, place or statement.span):
            self.statements.append(statement)

    def count(self, node: s.Node, place: Span) -> bool:
        """Whether the node is of a sound depth; raises where the whole program gets too large."""
        nodes, depth = self.size.measure(node)
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            self.too_large("the parts of this file, written out, make too large a program", place)
        if depth > MAX_DEPTH:
            message = f"written out, this is nested more than {MAX_DEPTH} deep"
            self.findings.add("E288", message, place, help="pass a name from a `let` instead of a long expression")
            self.broken.append(place)
            return False
        return True

    def too_large(self, message: str, place: Span) -> None:
        self.findings.add("E288", message, place)
        self.broken.append(place)
        raise _TooLarge


def _key(program: s.Program, base: Path | None) -> str:
    """What a file is known by, so that importing it from below is seen to be a circle."""
    name = Path(program.span.source.name)
    return str((base / name.name).resolve()) if base is not None else str(name)


def _structural() -> frozenset[str]:
    from ssmlang.language.parser import parse
    from ssmlang.language.resources import read_resource
    from ssmlang.language.source import Source

    program = parse(Source("structural.ssm", read_resource("stdlib/structural.ssm") or ""), Findings())
    return frozenset(st.name.id for st in program.statements if isinstance(st, s.Component))
