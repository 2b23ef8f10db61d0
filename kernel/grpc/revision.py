"""How callers read their own writes: a mutation returns a revision, and a read waits for what it names."""

from typing import NamedTuple

from holdspace.kernel.v1 import tokens_pb2
from kernel.errors import Rejected
from kernel.grpc.opaque import seal, unseal


class Revision(NamedTuple):
    source: str  # service, cell and epoch of the store
    position: int  # of the last fact that the mutation appended or rests on

    def encode(self) -> str:
        return seal(tokens_pb2.Revision(source=self.source, position=self.position))


def at_least(text: str) -> Revision | None:
    """Takes a request's at_least. Returns None when it is empty: then whatever is known will do.

    Raises Rejected FIELD_MALFORMED.
    """
    if not text:
        return None
    found = unseal(text, tokens_pb2.Revision)
    if found is None or not found.source or found.position < 0:
        raise Rejected("FIELD_MALFORMED", "at_least")
    return Revision(found.source, found.position)
