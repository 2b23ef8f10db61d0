"""Facts opened together: the same envelopes as one by one, and the same refusals."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdspace.kernel.v1.envelope_pb2 import Actor, Envelope
from kernel.errors import Poison
from kernel.facts import open_envelope, open_envelopes

FILLED = st.builds(
    Envelope,
    id=st.text(min_size=1),
    type=st.text(min_size=1),
    actor=st.builds(Actor, service=st.text()),
    subjects=st.lists(st.text()),
    payload=st.binary(max_size=300),  # a length of one byte and of two
    key=st.text(),
)
SEALED = FILLED.map(Envelope.SerializeToString)
CUT = SEALED.flatmap(lambda sealed: st.integers(0, len(sealed) - 1).map(lambda length: sealed[:length]))
WITHOUT_TYPE = st.builds(Envelope, id=st.text()).map(Envelope.SerializeToString)


def one_by_one(facts: Sequence[bytes]) -> list[Envelope] | None:
    """Returns None where one is no envelope."""
    try:
        return [open_envelope(fact) for fact in facts]
    except Poison:
        return None


@given(st.lists(SEALED | CUT | WITHOUT_TYPE | st.binary(max_size=40), max_size=8) | st.lists(SEALED, max_size=8))
def test_envelopes_opened_together_are_those_opened_one_by_one(facts: Sequence[bytes]) -> None:
    expected = one_by_one(facts)
    if expected is None:
        with pytest.raises(Poison):
            open_envelopes(facts)
    else:
        assert list(open_envelopes(facts)) == expected
