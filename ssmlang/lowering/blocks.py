"""Independent blocks of a linear form to programs side by side.

The expressions of the whole model are evaluated once, as vectors over all members, and the numbers of each member are
gathered from these: nothing is as large as the matrices of the whole, and no loop runs over members.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssmlang.engines.members import Members
from ssmlang.lowering.evaluate import evaluate
from ssmlang.lowering.gaussian import GaussianLowering, Values
from ssmlang.model import expr, sparse
from ssmlang.model.blocks import ONE, Blocks, Group, blocks
from ssmlang.model.expr import Node
from ssmlang.model.linear import LinearForm
from ssmlang.model.numbering import Numbering
from ssmlang.model.rows import Rows
from ssmlang.model.sparse import Sparse

Read = Callable[[Node], Array]


class BlockLowering:
    """The road from parameters and data to the programs of all blocks of a lowered form."""

    def __init__(self, whole: GaussianLowering) -> None:
        form = replace(whole.form, transition=whole.transition, emission=whole.emission)
        numbering = Numbering()
        self.whole = whole
        self.blocks: Blocks = blocks(form)
        self.groups = tuple(GroupLowering(whole, group, numbering) for group in self.blocks.groups)

    def programs(self, params: Values, observations: Values, inputs: Values, steps: int
                 ) -> tuple[tuple[Members, ...], tuple[Float[Array, "B T m"], ...]]:  # fmt: skip
        """The programs of each group, and each member's data; arguments as of `GaussianLowering.program`."""
        at = self.whole.environments(params, observations, inputs)
        wanted = lambda some: list({id(n): n for g in self.groups for n in some(g)}.values())
        nodes, moving = wanted(lambda g: g.nodes), wanted(lambda g: g.moving)
        first = dict(zip(map(id, nodes), evaluate(nodes, at(jnp.asarray(0)))))

        def row(t: Array) -> list[dict[str, Array]]:
            now = first | dict(zip(map(id, moving), evaluate(moving, at(t))))
            return [g.arrays(lambda n: now[id(n)], varying=True) for g in self.groups]

        # Each row's numbers stand before the last axis: (members, T, numbers), or (T, numbers) where they are shared.
        varying = jax.vmap(row, out_axes=-2)(jnp.arange(steps)) if moving else [{} for _ in self.groups]
        y = self.whole.data(observations, steps).T
        programs = tuple(g.members(lambda n: first[id(n)], v) for g, v in zip(self.groups, varying))
        return programs, tuple(g.data(y) for g in self.groups)


@dataclass(frozen=True)
class _Array:
    """One array of a group's programs: the member's number for each flat place that is not zero."""

    numbers: np.ndarray
    places: np.ndarray
    shape: tuple[int, ...]
    own: bool
    varies: bool

    def placed(self, values: Float[Array, "*lead K"]) -> Array:
        """The array, from the values of its numbers."""
        size = int(np.prod(self.shape))
        if len(self.places) != size or not np.array_equal(self.places, np.arange(size)):
            source = np.full(size, len(self.places), np.int32)
            source[self.places] = np.arange(len(self.places))
            padded = jnp.concatenate([values, jnp.zeros((*values.shape[:-1], 1), values.dtype)], axis=-1)
            values = padded[..., source]
        return values.reshape(*values.shape[:-1], *self.shape)


class GroupLowering:
    """The arrays of the members of one group."""

    def __init__(self, whole: GaussianLowering, group: Group, numbering: Numbering) -> None:
        self.group = group
        self.observed = group.form.stacking.m > 0
        one = GaussianLowering(whole.model, group.form if self.observed else _with_stand_in(group.form))
        self.structure, self.start = one.structure, one.start
        self._at = np.concatenate([s.at for s in group.sources], axis=1)
        self._source = np.repeat(np.arange(len(group.sources)), [s.at.shape[1] for s in group.sources])
        self._own, self._varies = np.zeros(len(self._source), bool), np.zeros(len(self._source), bool)
        for i, s in enumerate(group.sources):
            found, mine = numbering(s.values), self._source == i
            ids = found.ids.reshape(-1)[s.at]
            self._own[mine] = (ids != ids[:1]).any(axis=0)
            self._varies[mine] = found.varies.reshape(-1)[s.at].any(axis=0)
        self._arrays = {name: self._array(p.fixed, p.fixed_at, p.shape) for name, p in one.plans.items()}
        self._law = [self._array(node, np.arange(node.size), (node.size,)) for node in self.start.nodes]

    def _array(self, node: Node, places: np.ndarray, shape: tuple[int, ...]) -> _Array:
        assert node.value is not None  # the numbers of one member stand for its values
        numbers = node.value.astype(int)
        mine = numbers[numbers > ONE] - ONE - 1
        return _Array(numbers, places, shape, bool(self._own[mine].any()), bool(self._varies[mine].any()))

    @property
    def nodes(self) -> list[Node]:
        """All expressions that the members' numbers come from."""
        return [s.values for s in self.group.sources]

    @property
    def moving(self) -> list[Node]:
        """Those that some array needs row by row."""
        return [self.group.sources[i].values for i in np.unique(self._source[self._varies])]

    def constants(self, name: str) -> np.ndarray | None:
        """An array of the program, or "diffuse" of its initial law, where it is known and the same for all members."""
        if name == "diffuse":
            matrix = self.start.matrices["diffuse"]
            places, shape = matrix.rows * matrix.shape[1] + matrix.cols, matrix.shape
            array = self._array(matrix.values, places, shape)
        else:
            array = self._arrays[name]
        if array.own or array.varies:
            return None
        out = np.zeros(int(np.prod(array.shape)))
        for number, place in zip(array.numbers, array.places):
            if number <= ONE:
                out[place] = number
                continue
            source = self.group.sources[self._source[number - ONE - 1]]
            value = sparse.gather(source.values, self._at[:1, number - ONE - 1]).value
            if value is None:
                return None
            out[place] = value[0]
        return out.reshape(array.shape)

    def arrays(self, read: Read, varying: bool) -> dict[str, Array]:
        """The values of the numbers of each array that varies with time, or of each that does not."""
        return {name: self._values(a, read) for name, a in self._arrays.items() if a.varies is varying}

    def members(self, read: Read, varying: Mapping[str, Array]) -> Members:
        """The programs; `varying` are the values, over all rows, of the arrays that vary."""
        values = {**self.arrays(read, varying=False), **varying}
        own: dict[str, Array] = {}
        shared: dict[str, Array] = {}
        for name, array in self._arrays.items():
            (own if array.own else shared)[name] = array.placed(values[name])
        initial, mine = self._initial([self._values(a, read) for a in self._law])
        for name, value in initial.items():
            (own if mine[name] else shared)[name] = value
        return Members(own, shared, self.structure, self.group.members, self.observed)

    def data(self, y: Float[Array, "m T"]) -> Float[Array, "B T m"]:
        """Each member's own data."""
        at = self.group.observations
        if not self.observed:
            return jnp.full((len(at), y.shape[1], 1), jnp.nan, y.dtype)
        rows = at.reshape(-1)
        if not np.array_equal(rows, np.arange(len(y))):
            y = y[rows.astype(np.int32)]
        return jnp.swapaxes(y.reshape(*at.shape, y.shape[1]), 1, 2)

    def _initial(self, values: Sequence[Array]) -> tuple[dict[str, Array], dict[str, bool]]:
        """The law of the first memory, and which of its arrays have a leading axis of members."""
        constant, factor, diffuse, placed, *system = (a.own for a in self._law)
        moved = any(system)
        own = {"mean": constant or placed or moved, "factor": factor, "cov": placed or moved, "diffuse": diffuse}
        if self.start.group is not None:
            own["exists"] = moved

        def law(given: Sequence[Array]) -> dict[str, Array]:
            found = self.start.law(given)._asdict()
            return {name: found[name] for name in own}

        if not any(own.values()):
            return law(values), own
        axis = lambda mine: 0 if mine else None
        over = jax.vmap(law, in_axes=([axis(a.own) for a in self._law],), out_axes={n: axis(o) for n, o in own.items()})
        return over(list(values)), own

    def _values(self, array: _Array, read: Read) -> Float[Array, "*B K"]:
        """The values of an array's numbers, with a leading axis of members if it is their own."""
        lead = (self.group.members,) if array.own else ()
        literal = array.numbers <= ONE
        parts = [jnp.broadcast_to(jnp.asarray(array.numbers[literal], float), (*lead, int(literal.sum())))]
        places = [np.flatnonzero(literal)]
        columns = np.maximum(array.numbers - ONE - 1, 0)
        for i, source in enumerate(self.group.sources):
            mine = np.flatnonzero(~literal & (self._source[columns] == i))
            if not len(mine):
                continue
            at, values = self._at[:, columns[mine]], read(source.values).astype(float)
            parts.append(taken(values, at) if array.own else taken(values, at[:1])[0])
            places.append(mine)
        joined = jnp.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]
        order = np.argsort(np.concatenate(places)).astype(np.int32)
        return joined if (np.diff(order) == 1).all() else joined[..., order]


def taken(values: Float[Array, " N"], at: np.ndarray) -> Float[Array, "B K"]:
    """values[at]: slices where places step evenly from member to member, which cost less than a gather and much less
    where it is differentiated."""
    count, width = at.shape
    strides = np.diff(at, axis=0)
    if count == 1 or not width or (strides != strides[:1]).any():
        return values[at.astype(np.int32)]
    columns = []
    for first, stride in zip(at[0].tolist(), strides[0].tolist()):
        if stride > 0:
            columns.append(values[first : first + stride * (count - 1) + 1 : stride])
        elif stride == 0:
            columns.append(jnp.broadcast_to(values[first], (count,)))
        else:
            return values[at.astype(np.int32)]
    return jnp.stack(columns, axis=1)


def _with_stand_in(form: LinearForm) -> LinearForm:
    """A form without observations given one, of noise alone."""
    s = form.stacking
    r = s.r + 1

    def wider(rows: Rows) -> Rows:
        return Rows(rows.constant, {
            slot: replace(m, shape=(m.shape[0], r)) if slot[0] == "e" else m for slot, m in rows.terms.items()
        })  # fmt: skip

    noise = Sparse((1, r), np.zeros(1, int), np.array([s.r]), expr.const(np.full(1, float(ONE))))
    return replace(
        form, stacking=replace(s, m=1, r=r), transition=wider(form.transition), first=wider(form.first),
        emission=Rows(expr.zeros((1,)), {("e", 0): noise}),
    )  # fmt: skip
