"""Expressions in the user's notation: `phi[1]`, `sd_level^2`, `trend[t-1]`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ssmlang.model.expr import Axis, Node

_INFIX = {
    "or": ("or", 1), "and": ("and", 2), "lt": ("<", 4), "le": ("<=", 4), "gt": (">", 4), "ge": (">=", 4),
    "eq": ("==", 4), "ne": ("!=", 4), "add": ("+", 5), "sub": ("-", 5), "mul": ("*", 6), "div": ("/", 6),
    "mod": ("%", 6), "matmul": ("@", 6), "pow": ("^", 8),
}  # fmt: skip
_NAMES = {"maximum": "max", "minimum": "min"}
_ATOM = 10
MAX_ARRAY = 16


def show(node: Node) -> str:
    """The expression as a person would write it."""
    return _show(node)[0]


def number(value: object) -> str:
    """A number without noise digits."""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    real = float(value)  # type: ignore[arg-type]
    return str(int(real)) if real.is_integer() and abs(real) < 1e15 else f"{real:.10g}"


def _show(node: Node) -> tuple[str, int]:
    """Text and how tightly it binds."""
    op, args = node.op, node.args
    if node.value is not None:
        return _constant(node)
    if op == "param":
        return node.attrs[0], _ATOM
    if op == "ref":
        return f"{node.attrs[1]}[{_row(node.attrs[2])}]", _ATOM
    if op == "augment":
        return node.attrs[0], _ATOM
    if op == "time":
        return "t", _ATOM
    if op == "bound":
        return str(node.attrs[0]).split("#")[0], _ATOM
    if op == "index":
        return _index(args[0], args[1:]), _ATOM
    if op in _INFIX:
        sign, level = _INFIX[op]
        left, right = (_show(a) for a in args)
        tight = op == "pow"
        first = _within(left, level + tight)
        second = _within(right, level + (op not in ("add", "mul", "and", "or") and not tight))
        return (f"{first}^{second}" if tight else f"{first} {sign} {second}"), level
    if op == "neg":
        return "-" + _within(_show(args[0]), 7), 5
    if op == "not":
        return "not " + _within(_show(args[0]), 4), 3
    if op == "where":
        test, then, otherwise = (show(a) for a in args)
        return f"if {test} then {then} else {otherwise}", 0
    if op in ("broadcast", "reshape"):
        return _show(args[0])
    if op == "transpose":
        return _within(_show(args[0]), _ATOM) + "'", _ATOM
    if op == "stack":
        return "[" + ", ".join(show(a) for a in args) + "]", _ATOM
    if op == "past_sum":
        name = str(node.attrs[0]).split("#")[0]
        return f"sum({show(args[0])} for {name} in 1..t)", _ATOM
    return f"{_NAMES.get(op, op)}({', '.join(show(a) for a in args)})", _ATOM


def _within(part: tuple[str, int], level: int) -> str:
    text, own = part
    return text if own >= level else f"({text})"


def _row(lag: int | str) -> str:
    return "t" if lag == 0 else f"t-{str(lag).split('#')[0]}"


def _label(position: int, axis: Axis | None) -> str:
    return str(axis.labels[position]) if axis is not None else str(position)


def _index(base: Node, indices: Sequence[Node]) -> str:
    while base.op in ("reshape", "broadcast") and base.shape == base.args[0].shape:
        base = base.args[0]
    written = [_label(int(i.value), a) if i.is_const and i.shape == () else show(i)  # type: ignore[arg-type]
               for i, a in zip(indices, base.axes)]  # fmt: skip
    if base.op == "ref":
        return f"{base.attrs[1]}[{', '.join([_row(base.attrs[2]), *written])}]"
    return f"{_within(_show(base), _ATOM)}[{', '.join(written)}]"


def _constant(node: Node) -> tuple[str, int]:
    value = node.value
    assert value is not None
    if node.shape == ():
        if node.domain is not None:
            return _label(int(value), node.domain), _ATOM
        text = number(value[()])
        return text, 5 if text.startswith("-") else _ATOM
    if value.size > MAX_ARRAY:
        return f"[{' x '.join(map(str, node.shape))} numbers]", _ATOM
    return _nested(value), _ATOM


def _nested(value: np.ndarray) -> str:
    if value.ndim == 0:
        return number(value[()])
    return "[" + ", ".join(_nested(v) for v in value) + "]"
