"""Changes of sign that no observation notices, by parity: (x, y) -> (-x, -y) in Lorenz '63 seen through z.

Every number carries the set of states whose sign it follows; a sum asks that its terms follow the same; what an
even function takes may follow any, what others take must follow none. What is asked for is linear over the field of two
elements, and the changes of sign that meet it all leave the model as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ssmlang.analysis.lie_outputs import Outputs
from ssmlang.analysis.scalars import Evaluator
from ssmlang.analysis.skeleton import LOCATED, Key
from ssmlang.model.expr import Node

_ODD = frozenset(("neg", "sin", "tan", "asin", "atan", "tanh"))
_EVEN = frozenset(("cos", "abs"))
SYMMETRIC_NOISE = frozenset(LOCATED)
"""Laws that are the same to both sides of their middle."""
MOST_FLIPS = 512


@dataclass(frozen=True)
class Parity:
    """`mask`: bits of the states whose sign the number follows; `zero`: it is 0, which follows any. `number`: its
    value, where it is a constant."""

    mask: int = 0
    zero: bool = False
    number: float | None = None
    asked: Any = None
    """where a product of arrays writes what it asks for"""

    def __mul__(self, other: Parity) -> Parity:
        return Parity(self.mask ^ other.mask, self.zero or other.zero, None, self.asked)

    def __add__(self, other: Parity) -> Parity:
        if self.zero:
            return other
        if not other.zero and self.mask != other.mask:
            self.asked.append(self.mask ^ other.mask)
        return Parity(self.mask, False, None, self.asked)


class Parities:
    """`scalars.Arithmetic` of parities. `asked`: sets of states whose signs must change an even number of times."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def of(self, mask: int = 0) -> Parity:
        return Parity(mask, asked=self.asked)

    def constant(self, value: Any) -> Parity:
        return Parity(0, float(value) == 0, float(value), self.asked)

    def _still(self, *values: Parity) -> Parity:
        """A number that follows no sign, for arguments that may follow none."""
        self.asked += [v.mask for v in values if v.mask and not v.zero]
        return self.of()

    def unary(self, op: str, x: Parity) -> Parity:
        if op == "neg":
            return Parity(x.mask, x.zero, None if x.number is None else -x.number, self.asked)
        if op in _ODD:
            return Parity(x.mask, x.zero, None, self.asked)
        return self.of() if op in _EVEN else self._still(x)

    def binary(self, op: str, a: Parity, b: Parity) -> Parity:
        match op:
            case "add" | "sub":
                return a + b
            case "mul":
                return a * b
            case "div":
                return Parity(a.mask ^ b.mask, a.zero, None, self.asked)
            case "pow" if b.number is not None and b.number == round(b.number):
                return Parity(a.mask if b.number % 2 else 0, a.zero and b.number > 0, None, self.asked)
        return self._still(a, b)

    def where(self, test: Parity, then: Parity, otherwise: Parity) -> Parity:
        self._still(test)
        return then + otherwise


def sign_changes(outputs: Outputs) -> list[frozenset[Key]]:
    """Sets of states (without lags) whose signs can change together unseen, the smallest first.

    The laws of transitions and observations stay the same, noises included; noises may change sign where their laws
    are symmetric about zero. Raises Unsupported.
    """
    arithmetic = Parities()
    bits: dict[Key, int] = {}
    bit = lambda key: 1 << bits.setdefault(Key(key.sort, key.name, key.entry), len(bits))
    state = {k: arithmetic.of(bit(k)) for k in outputs.keys}
    flipped = {n.name for n in outputs.model.noises.values() if _symmetric(n.law)}

    def known(key: Key, row: int) -> Parity:
        return arithmetic.of()

    noise_bit = lambda name, entry: bit(Key("noise", name, entry))
    reading = _Reading(outputs, arithmetic, state, lambda k: arithmetic.of(
        noise_bit(k.name, k.entry if outputs.model.noises[k.name].law.name == "Normal" else 0)  # type: ignore[union-attr]
        if k.name in flipped else 0))  # fmt: skip
    for key in outputs.skeleton.entries:
        if key.sort != "state":
            if outputs.model.parameters[key.name].support.kind != "real":
                arithmetic.asked.append(bit(key))
            continue
        given = (outputs.skeleton.increments if outputs.continuous else outputs.skeleton.given)[key.name, key.entry]
        value = reading(given.node).reshape(-1)[given.position]
        if not value.zero:
            arithmetic.asked.append(value.mask ^ bit(key))
        if given.law is not None:
            for name, node in given.law.args.items():
                if name != LOCATED.get(given.law.name):
                    arithmetic._still(*reading(node).reshape(-1))
            if given.law.name == "LogNormal":
                arithmetic.asked.append(bit(key))
            if given.law.name == "MvNormal":
                others = [k for k, g in outputs.skeleton.given.items() if g.law is given.law]
                arithmetic.asked += [bit(key) ^ bit(Key("state", *k)) for k in others]
    for e in outputs.emissions:
        nodes = [e.value] if e.value is not None else list(e.law.args.values()) if e.law is not None else []
        for node in nodes:
            if node is not None:
                arithmetic._still(*reading(node).reshape(-1))
    return list(_smallest(arithmetic.asked, bits))


class _Reading:
    """Expressions over parities at the first row; noises follow their own signs."""

    def __init__(self, outputs: Outputs, arithmetic: Parities, state: dict[Key, Parity], noise: Any) -> None:
        self.state, self.noise, self.arithmetic = state, noise, arithmetic
        self.evaluate = Evaluator(arithmetic, outputs.skeleton.leaf(arithmetic, self.read), outputs.tick)

    def read(self, key: Key) -> Parity:
        if key.sort == "augment":
            return self.state[Key("augment", key.name, key.entry)]
        if key.sort == "state":
            return self.state[Key("state", key.name, key.entry, 0)]
        if key.sort == "noise":
            return self.noise(key)  # type: ignore[no-any-return]
        if key.sort == "increment" and key.name != "dt":
            # A Wiener process is the same law with its sign changed, but each term then asks for a sign of its own.
            return Parity(0, True, None, self.arithmetic.asked)
        return self.arithmetic.of()

    def __call__(self, node: Node) -> Any:
        return self.evaluate(node)


def _symmetric(law: Any) -> bool:
    if law is None or law.name not in SYMMETRIC_NOISE:
        return False
    middle = law.args[LOCATED[law.name]]
    return bool(middle.is_zero)


def _smallest(asked: list[int], bits: dict[Key, int]) -> Iterator[frozenset[Key]]:
    """The changes of sign that meet what is asked, by the number of states that change."""
    basis = kernel(asked, len(bits))
    if len(basis) > 9:
        basis = basis[:9]
    found: set[frozenset[Key]] = set()
    for choice in range(1, 1 << len(basis)):
        mask = 0
        for i, vector in enumerate(basis):
            if choice >> i & 1:
                mask ^= vector
        keys = frozenset(k for k, i in bits.items() if mask >> i & 1 and k.sort != "noise")
        if keys:
            found.add(keys)
    order = lambda keys: (len(keys), sorted((k.sort, k.name, k.entry) for k in keys))
    yield from sorted(found, key=order)[:MOST_FLIPS]


def kernel(asked: list[int], size: int) -> list[int]:
    """Vectors over two elements, as bits, that have an even number of bits in common with each of `asked`."""
    rows: dict[int, int] = {}
    for mask in asked:
        for pivot, row in rows.items():
            if mask >> pivot & 1:
                mask ^= row
        if mask:
            pivot = mask.bit_length() - 1
            rows = {p: r ^ mask if r >> pivot & 1 else r for p, r in rows.items()}
            rows[pivot] = mask
    found = []
    for free in range(size):
        if free in rows:
            continue
        vector = 1 << free
        for pivot, row in rows.items():
            if row >> free & 1:
                vector |= 1 << pivot
        found.append(vector)
    return found

