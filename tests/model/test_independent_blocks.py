"""Which parts of a model do not talk to each other, and how they are gathered."""

import numpy as np

from ssmlang.analysis.report import report
from ssmlang.frontend import check_text
from ssmlang.model.blocks import ONE, blocks, described
from ssmlang.model.linear import LinearForm, linear_form
from ssmlang.model.numbering import Numbering
from ssmlang.model.separate import separated

TRACKS = """
model tracks
axis plane = {east, north}
axis craft = 1..3
param s, r ~ HalfNormal(1)
param drag[craft] ~ Normal(0, 1)
noise push[craft, plane] ~ Normal(0, s)
state pos[craft, plane], vel[craft, plane], other
obs fix[craft, plane], seen[2]
init pos, vel, other ~ Normal(0, 10)
pos[t, i, k] = pos[t-1, i, k] + vel[t-1, i, k] + push[t, i, k] / 2 for i in craft for k in plane
vel[t, i, k] = drag[i] * vel[t-1, i, k] + push[t, i, k] for i in craft for k in plane
other[t] ~ Normal(other[t-1], s)
fix[t] ~ Normal(pos[t], r)
seen[t] ~ Normal(other[t], r)
"""


def form_of(text: str, definitions: bool = False) -> LinearForm:
    form = linear_form(check_text(text).require(), (), definitions)
    assert isinstance(form, LinearForm)
    return form


def test_blocks_of_one_pattern_are_one_group() -> None:
    form = form_of(TRACKS)
    tracks, other = blocks(form).groups
    np.testing.assert_array_equal(tracks.states, np.stack([np.arange(6), 6 + np.arange(6)], axis=1))
    np.testing.assert_array_equal(tracks.observations, np.arange(6)[:, None])
    np.testing.assert_array_equal(other.states, [[12]])
    np.testing.assert_array_equal(other.observations, [[6, 7]])
    assert (tracks.form.stacking.n, tracks.form.stacking.m, tracks.form.stacking.r) == (2, 1, 2)


def test_a_member_finds_its_own_numbers() -> None:
    """The numbers of each member's transition are the whole's at the member's own rows and columns."""
    form = form_of(TRACKS)
    numbering = Numbering()
    whole = form.transition.terms["x", 1]
    expected = np.zeros(whole.shape, int)
    expected[whole.rows, whole.cols] = numbering(whole.values).ids
    for group in blocks(form).groups:
        ids = np.concatenate([numbering(s.values).ids.reshape(-1)[s.at] for s in group.sources], axis=1)
        own = group.form.transition.terms["x", 1]
        assert own.values.value is not None
        at = own.values.value.astype(int) - ONE - 1
        for member, states in enumerate(group.states):
            np.testing.assert_array_equal(ids[member, at], expected[states[own.rows], states[own.cols]])


def test_the_report_says_so() -> None:
    model = check_text(TRACKS).require()
    facts = report(model, linear_form(model)).facts
    assert facts[-1] == "in 7 independent blocks: 6 of 2 states, 1 of 1 state, each run as a model of its own"
    assert (
        described(form_of("model m\nstate x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], 1)\ny[t] = x[t]"))
        is None
    )


def test_a_definition_is_taken_apart() -> None:
    text = TRACKS + "let middle[t] = 2 * pos[t, 1, east] + pos[t, 2, east] + other[t-1] + 5\n"
    form = form_of(text, definitions=True)
    apart = separated(form)
    assert apart.form.stacking.n == form.stacking.n + 2
    np.testing.assert_array_equal(apart.entry[-3:], form.stacking.n - 1)
    found = blocks(form)
    assert found.count == 7
    assert sorted((g.members, g.form.stacking.n) for g in found.groups) == [(1, 2), (2, 3), (4, 2)]


def test_numbers_that_are_surely_the_same() -> None:
    model = check_text(
        "model m\nparam a[3], b ~ Normal(0, 1)\ninput u\nstate x[3]\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t] ~ Normal(b * x[t-1] * [2, 2, 3] + a * u[t], exp(b))\ny[t] ~ Normal(sum(x[t]), 1)"
    ).require()
    form = linear_form(model)
    assert isinstance(form, LinearForm)
    numbering = Numbering()
    F, G = (numbering(form.transition.terms[slot].values) for slot in (("x", 1), ("e", 0)))
    assert F.ids[0] == F.ids[1] != F.ids[2]
    assert len(set(G.ids.tolist())) == 1
    offset = numbering(form.transition.constant)
    assert len(set(offset.ids.tolist())) == 3
    assert offset.varies.all() and not F.varies.any()
