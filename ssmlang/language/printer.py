"""From the syntax tree back to text, with as few parentheses as the grammar allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ssmlang.language import syntax as s
from ssmlang.language.pretty import INDENT, WIDTH, Bracket, Text, asks_for_lines, fit, flat, join

# How tightly an operator binds: (its own level, the least level of its left, of its right operand).
_BINARY: dict[str, tuple[int, int, int]] = {
    "or": (1, 1, 2),
    "and": (2, 2, 3),
    **{op: (4, 5, 5) for op in ("<", "<=", ">", ">=", "==", "!=")},
    **{op: (5, 5, 6) for op in ("+", "-")},
    **{op: (6, 6, 7) for op in ("*", "/", "@", "%")},
    "^": (8, 9, 7),
}
_NOT, _MINUS, _POSTFIX = 3, 7, 9

Slot = Literal["", "keyword", "name", "relation", "walk", "loop"]


@dataclass(frozen=True)
class Piece:
    """A part of a statement; the formatter may align the pieces of neighbouring statements that bear the same slot."""

    slot: Slot
    text: Text


class Printer:
    """Prints expressions and statements; `wide(node)` says which brackets are to be opened up, one item a line."""

    def __init__(self, wide: Callable[[s.Node], bool] = lambda node: False) -> None:
        self.wide = wide

    # ------------------------------------------------------------------------------------------- expressions

    def expr(self, node: s.Expr | s.Range, level: int = 0, tight: bool = False) -> Text:
        """The text of an expression where the grammar asks for at least `level`; `tight` inside indices and ranges."""
        own, text = self._expr(node, tight)
        return join("(", text, ")") if own < level else text

    def _expr(self, node: s.Expr | s.Range, tight: bool) -> tuple[int, Text]:
        match node:
            case s.Number(text):
                return 10, text
            case s.Name(id):
                return 10, id
            case s.Unary("not", operand):
                return _NOT, join("not ", self.expr(operand, _NOT, tight))
            case s.Unary(_, operand):
                return _MINUS, join("-", self.expr(operand, _MINUS, tight))
            case s.Binary(op, left, right):
                own, least_left, least_right = _BINARY[op]
                close = op == "^" or (tight and op in "+-*/") or (op == "/" and _numbers(left, right))
                mark = op if close else f" {op} "
                return own, join(self.expr(left, least_left, tight), mark, self.expr(right, least_right, tight))
            case s.Conditional(test, then, otherwise):
                parts = ("if ", self.expr(test), " then ", self.expr(then), " else ", self.expr(otherwise))
                return 0, join(*parts)
            case s.Transpose(operand):
                return _POSTFIX, join(self.expr(operand, _POSTFIX), "'")
            case s.Member(value, name):
                return _POSTFIX, join(self.expr(value, _POSTFIX), ".", name.id)
            case s.Subscript(value, indices):
                return _POSTFIX, join(self.expr(value, _POSTFIX), self.indices(indices))
            case s.Call(function, arguments):
                return _POSTFIX, join(self.expr(function, _POSTFIX), self.arguments(arguments, node))
            case s.Array(items):
                return 10, Bracket("[", tuple(self.expr(item) for item in items), "]", wide=self.wide(node))
            case s.Comprehension(body, loops):
                return 10, Bracket("[", (self.expr(body), self.loops(loops)), "]", separator="", trailing=False)
            case s.Reduction(function, body, loops):
                inside = (self.expr(body), self.loops(loops))
                return _POSTFIX, join(function.id, Bracket("(", inside, ")", separator="", trailing=False))
            case s.Range(first, last):
                return 0, join(self.expr(first, 0, True), "..", self.expr(last, 0, True))
        raise TypeError(f"not an expression: {type(node).__name__}")

    def indices(self, indices: Sequence[s.Expr]) -> Text:
        if not indices:
            return ""
        return join("[", *_commas(self.expr(index, 0, True) for index in indices), "]")

    def arguments(self, arguments: Sequence[s.Argument], node: s.Node) -> Text:
        items = (
            join(a.name.id, " = ", self.expr(a.value)) if a.name is not None else self.expr(a.value) for a in arguments
        )
        return Bracket("(", tuple(items), ")", wide=bool(arguments) and self.wide(node))

    def loops(self, loops: Sequence[s.Loop]) -> Text:
        texts = (join(f"for {loop.variable.id} in ", self.expr(loop.domain)) for loop in loops)
        return join(*_commas(texts, " "))

    # -------------------------------------------------------------------------------------------- statements

    def statement(self, node: s.Statement) -> list[Piece]:
        """The pieces of a statement, to be joined by single blanks; of a component its head."""
        match node:
            case s.Header(name):
                return [Piece("", "model"), Piece("keyword", name.id)]
            case s.Import(module, is_path, items):
                names = (f"{i.name.id} as {i.alias.id}" if i.alias else i.name.id for i in items)
                return [Piece("", f'from "{module}"' if is_path else f"from {module}"), Piece("", "import"),
                        Piece("", join(*_commas(names)))]  # fmt: skip
            case s.Const(decl, value):
                return [Piece("", "const"), Piece("keyword", self.decl(decl)), *self._value(value)]
            case s.AxisDecl(name, labels):
                if isinstance(labels, s.LabelSet):
                    ids = tuple(label.id for label in labels.labels)
                    shown: Text = Bracket("{", ids, "}", wide=self.wide(labels))
                else:
                    shown = self.expr(labels)
                return [Piece("", "axis"), Piece("keyword", name.id), Piece("name", join("= ", shown))]
            case s.Param(decls, support, prior, augment, walk):
                pieces = [Piece("", "augment param" if augment else "param"), Piece("keyword", self.decls(decls))]
                if support is not None:
                    pieces.append(Piece("name", join("in ", self.support(support))))
                if prior is not None:
                    pieces.append(Piece("name" if support is None else "relation", join("~ ", self.expr(prior))))
                return pieces + ([Piece("walk", join("walk ", self.expr(walk)))] if walk is not None else [])
            case s.Input(decls):
                return [Piece("", "input"), Piece("keyword", self.decls(decls))]
            case s.State(decls, domain) | s.Obs(decls, domain):
                word = "state" if isinstance(node, s.State) else "obs"
                pieces = [Piece("", word), Piece("keyword", self.decls(decls))]
                return pieces + ([Piece("name", join("in ", self.expr(domain)))] if domain is not None else [])
            case s.Noise(decls, law):
                return [Piece("", "noise"), Piece("keyword", self.decls(decls)),
                        Piece("name", join("~ ", self.expr(law)))]  # fmt: skip
            case s.Let(target, value, loops):
                return [Piece("", "let"), Piece("keyword", self.target(target)), *self._value(value), *self._for(loops)]
            case s.Def(name, params, body):
                head = f"{name.id}({', '.join(p.id for p in params)})"
                return [Piece("", "def"), Piece("keyword", head), *self._value(body)]
            case s.Part(name, component, arguments):
                call = join("= ", component.id, self.arguments(arguments, node))
                return [Piece("", "part"), Piece("keyword", name.id), Piece("name", call)]
            case s.Component(name, params):
                return [Piece("", f"component {name.id}({', '.join(p.id for p in params)}) {{")]
            case s.Out(value):
                return [Piece("", "out"), Piece("keyword", self.expr(value))]
            case s.Init(targets, joint, relation, law, loops):
                right = join(f"{relation} ", self.expr(law))
                return [Piece("", "init"), Piece("keyword", self.targets(targets, joint)), Piece("name", right),
                        *self._for(loops)]  # fmt: skip
            case s.Lift(target, value, mode):
                return [Piece("", "lift"), Piece("keyword", self.target(target)), *self._value(value), Piece("", mode)]
            case s.Assert(claims):
                return [Piece("", "assert"), Piece("keyword", join(*_commas(self.expr(claim) for claim in claims)))]
            case s.Equation(targets, joint, relation, value, loops):
                right = join(f"{relation} ", self.expr(value))
                return [Piece("", self.targets(targets, joint)), Piece("name", right), *self._for(loops)]
            case s.Sde(target, value, loops):
                return [Piece("", join("d(", self.target(target), ")")), *self._value(value), *self._for(loops)]
        raise TypeError(f"not a statement: {type(node).__name__}")

    def _value(self, value: s.Expr | None) -> list[Piece]:
        return [] if value is None else [Piece("name", join("= ", self.expr(value)))]

    def _for(self, loops: Sequence[s.Loop]) -> list[Piece]:
        return [Piece("loop", self.loops(loops))] if loops else []

    def support(self, support: s.Interval | s.Name) -> Text:
        if isinstance(support, s.Name):
            return support.id
        return join("(", self.expr(support.lower), ", ", self.expr(support.upper), ")")

    def decl(self, decl: s.Decl) -> Text:
        return join(decl.name.id, self.indices(decl.dims))

    def decls(self, decls: Sequence[s.Decl]) -> Text:
        return join(*_commas(self.decl(decl) for decl in decls))

    def target(self, target: s.Target) -> Text:
        return join(target.name.id, self.indices(target.indices))

    def targets(self, targets: Sequence[s.Target], joint: bool) -> Text:
        inner = join(*_commas(self.target(target) for target in targets))
        return join("(", inner, ")") if joint else inner


def lay_pieces(pieces: Sequence[Piece], indent: int, pads: Sequence[int] | None = None) -> str:
    """The pieces joined by blanks (and `pads` more before each), on one line where they fit."""
    extra = [0] * len(pieces) if pads is None else pads
    spaced: list[Text] = [pieces[0].text]
    for piece, pad in zip(pieces[1:], extra[1:], strict=True):
        spaced += [" " * (1 + pad), piece.text]
    if on_one_line(pieces, indent):
        return "".join(flat(text) for text in spaced)
    return fit(join(*spaced), indent, indent)


def on_one_line(pieces: Sequence[Piece], indent: int) -> bool:
    """Whether a statement fits on its line and none of its brackets was opened up by hand."""
    natural = indent + len(" ".join(flat(piece.text) for piece in pieces))
    return natural <= WIDTH and not any(asks_for_lines(piece.text) for piece in pieces)


def print_expr(node: s.Expr | s.Range) -> str:
    """The text of an expression, on one line."""
    return flat(Printer().expr(node))


def print_statement(node: s.Statement, indent: int = 0) -> str:
    """The text of a statement without its doc; of a component, with its body."""
    printer = Printer()
    text = " " * indent + lay_pieces(printer.statement(node), indent)
    if not isinstance(node, s.Component):
        return text
    body = "".join(doc_lines(inner.doc, indent + INDENT) + print_statement(inner, indent + INDENT) + "\n"
                   for inner in node.body)  # fmt: skip
    return f"{text}\n{body}{' ' * indent}}}"


def print_program(program: s.Program) -> str:
    """The text of a tree, without comments (those are `format_text`'s matter); parsing it gives an equal tree."""
    lines = [doc_lines(program.doc, 0)]
    previous: s.Statement | None = None
    for statement in program.statements:
        if previous is None:
            apart = program.doc is not None and (not isinstance(statement, s.Header) or statement.doc is not None)
        else:
            apart = statement.doc is not None or _GROUPS.get(type(previous)) != _GROUPS.get(type(statement))
            apart = apart or isinstance(statement, s.Component)
        lines.append("\n" if apart else "")
        lines.append(doc_lines(statement.doc, 0) + print_statement(statement) + "\n")
        previous = statement
    return "".join(lines)


_GROUPS: dict[type[s.Statement], int] = {
    s.Header: 0, s.Import: 1, s.Const: 2, s.AxisDecl: 2, s.Param: 3, s.Let: 4, s.Def: 4, s.Part: 5, s.Component: 6,
    s.Input: 7, s.Noise: 7, s.State: 7, s.Obs: 7, s.Init: 8, s.Equation: 8, s.Sde: 8, s.Lift: 9, s.Assert: 10,
}  # fmt: skip


def doc_lines(doc: str | None, indent: int) -> str:
    """The `##` lines of a text, each with its line ending."""
    if doc is None:
        return ""
    return "".join(" " * indent + f"## {line}".rstrip() + "\n" for line in doc.split("\n"))


def _commas(texts: Iterable[Text], separator: str = ", ") -> list[Text]:
    out: list[Text] = []
    for text in texts:
        out += [separator, text] if out else [text]
    return out


def _numbers(left: s.Expr, right: s.Expr) -> bool:
    return isinstance(left, s.Number) and isinstance(right, s.Number)
