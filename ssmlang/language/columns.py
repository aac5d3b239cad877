"""Columns: lines that an author aligned stay aligned.

Neighbouring statements are aligned at a slot (behind the keyword, the name, the support, the value) where it stood in
the same column of the text in all of them and at least one had more than a single blank before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ssmlang.language import syntax as s
from ssmlang.language.pretty import flat
from ssmlang.language.printer import Piece, Slot, lay_pieces, on_one_line

_SLOTS: tuple[Slot, ...] = ("keyword", "name", "relation", "walk", "loop")
_GAP = re.compile(r"[ \t)]*")


@dataclass(eq=False)
class Line:
    """One line of the output (or several, of one statement): fixed text, or the pieces of a statement."""

    text: str
    pieces: list[Piece] = field(default_factory=list)
    indent: int = 0
    origin: dict[str, tuple[int, bool]] = field(default_factory=dict)
    """For each slot, its column in the author's text and whether more than one blank stood before it."""
    pads: list[int] = field(default_factory=list)
    comment: s.Comment | None = None
    comment_at: int = 0

    @classmethod
    def of(cls, node: s.Statement, pieces: list[Piece], indent: int) -> Line:
        return cls("", pieces, indent, _origin(node, pieces), [0] * len(pieces))

    def code(self) -> str:
        if not self.pieces:
            return self.text
        return " " * self.indent + lay_pieces(self.pieces, self.indent, self.pads)

    def width(self) -> int:
        return len(self.code().rsplit("\n", 1)[-1])

    def render(self) -> str:
        code = self.code()
        if self.comment is None:
            return code.rstrip()
        blanks = max(2, self.comment_at - self.width())
        return f"{code}{' ' * blanks}#{self.comment.text}".rstrip()

    def slot(self, slot: Slot) -> int | None:
        """The index of the piece in this slot, if it may be aligned."""
        if slot in ("walk", "loop") and not on_one_line(self.pieces, self.indent):
            return None
        return next((i for i, piece in enumerate(self.pieces) if piece.slot == slot and i), None)

    def column(self, index: int) -> int:
        """The column that piece `index` has in the output as padded so far."""
        parts = zip(self.pieces[:index], self.pads[:index], strict=True)
        return self.indent + sum(len(flat(piece.text)) + pad + 1 for piece, pad in parts)


def align(lines: Sequence[Line]) -> None:
    """Set the pads of all lines, slot by slot from the left, and then the columns of the comments behind them."""
    for slot in _SLOTS:
        for group in _groups(lines, slot):
            places = [(line, line.slot(slot)) for line in group]
            target = max(line.column(index) for line, index in places if index is not None)
            for line, index in places:
                if index is not None:
                    line.pads[index] += target - line.column(index)
    for line in lines:
        if line.comment is not None:
            line.comment_at = max(line.width() + 2, _column(line.comment.span.source.text, line.comment.span.start))
    run: list[Line] = []
    for line in [*lines, Line("")]:
        same = run and line.comment is not None and _comment_column(line) == _comment_column(run[-1])
        if not same:
            for member in run:
                member.comment_at = max(other.comment_at for other in run)
            run = []
        if line.comment is not None:
            run.append(line)


def _groups(lines: Sequence[Line], slot: Slot) -> list[list[Line]]:
    """Runs of neighbouring lines with the slot in one column, one of them with extra blanks before it."""
    groups: list[list[Line]] = []
    run: list[Line] = []
    extra, column = False, -1
    for line in [*lines, Line("")]:
        found = line.origin.get(slot) if line.slot(slot) is not None else None
        if found is not None and run and found[0] == column:
            run.append(line)
            extra = extra or found[1]
            continue
        if len(run) > 1 and extra:
            groups.append(run)
        run, extra, column = ([line], found[1], found[0]) if found is not None else ([], False, -1)
    return groups


def _origin(node: s.Statement, pieces: Sequence[Piece]) -> dict[str, tuple[int, bool]]:
    """Where the slots of a statement stood in the author's text."""
    text = node.span.source.text
    ends = _slot_offsets(node)
    found: dict[str, tuple[int, bool]] = {}
    for slot, (end, is_start) in ends.items():
        if is_start:
            at, gap = end, len(text[:end]) - len(text[:end].rstrip(" \t"))
        else:
            match = _GAP.match(text, end)
            assert match is not None
            at, gap = match.end(), len(match[0]) - len(match[0].rstrip(" \t"))
        if "\n" not in text[node.span.start : at] and "\r" not in text[node.span.start : at]:
            found[slot] = (_column(text, at), gap > 1)
    return found


def _slot_offsets(node: s.Statement) -> dict[Slot, tuple[int, bool]]:
    """For each slot an offset, and whether it is the slot's own (else the end of what stands before it)."""
    match node:
        case s.Header(name):
            return {"keyword": (name.span.start, True)}
        case s.Const(decl):
            return {"keyword": (decl.span.start, True), "name": (decl.span.end, False)}
        case s.AxisDecl(name) | s.Part(name):
            return {"keyword": (name.span.start, True), "name": (name.span.end, False)}
        case s.Param(decls, support, prior, _, walk):
            found: dict[Slot, tuple[int, bool]] = {
                "keyword": (decls[0].span.start, True),
                "name": (decls[-1].span.end, False),
            }
            if support is not None:
                found["relation"] = (support.span.end, False)
            if prior is not None and walk is not None:
                found["walk"] = (prior.span.end, False)
            return found
        case s.Input(decls) | s.State(decls) | s.Obs(decls) | s.Noise(decls):
            return {"keyword": (decls[0].span.start, True), "name": (decls[-1].span.end, False)}
        case s.Let(target, value) | s.Lift(target, value):
            return {
                "keyword": (target.span.start, True),
                "name": (target.span.end, False),
                "loop": (value.span.end, False),
            }
        case s.Init(targets, joint, _, law):
            start = (targets[0].span.start, True)
            return {
                **({} if joint else {"keyword": start}),
                "name": (targets[-1].span.end, False),
                "loop": (law.span.end, False),
            }
        case s.Equation(targets, _, _, value):
            return {"name": (targets[-1].span.end, False), "loop": (value.span.end, False)}
        case s.Sde(target, value):
            return {"name": (target.span.end, False), "loop": (value.span.end, False)}
        case s.Out(value):
            return {"keyword": (value.span.start, True)}
    return {}


def _column(text: str, offset: int) -> int:
    return offset - max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) - 1


def _comment_column(line: Line) -> int:
    assert line.comment is not None
    return _column(line.comment.span.source.text, line.comment.span.start)
