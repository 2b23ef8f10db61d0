"""What a decider answers: the facts, and what must hold or happen in the same commit."""

from collections.abc import Sequence
from typing import NamedTuple

from google.protobuf.message import Message

from kernel.store.interface import Attachment, Claim, Timer


class Decision(NamedTuple):
    """Nothing at all is a decision too: the command is remembered and has no effect."""

    facts: Sequence[Message] = ()
    claims: Sequence[Claim] = ()
    releases: Sequence[str] = ()
    timers: Sequence[Timer] = ()
    cancelled_timers: Sequence[str] = ()
    attachments: Sequence[Attachment] = ()
