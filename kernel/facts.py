"""Facts as bytes: one envelope, sealed once when decided, opened wherever it is read."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import NamedTuple, NoReturn

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from holdspace.kernel.v1.envelope_pb2 import Envelope, OpenedFacts, SealedFacts
from holdspace.kernel.v1.gate_pb2 import Phase
from holdspace.kernel.v1.options_pb2 import fact as fact_option
from kernel.errors import Poison

FACT_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class FactType:
    name: str  # full name of the message
    message: type[Message]
    topic: str  # empty: private
    key: str  # the payload field that is the Kafka key
    subjects: tuple[str, ...]  # the payload fields that name persons
    tells_state: bool = False  # it is published, and its phases tell all there is to know of its subject


class Origin(NamedTuple):
    """What an envelope says about where its fact came from; the same for all facts of one command."""

    service: str
    person: str = ""
    cause: str = ""
    correlation: str = ""
    traceparent: str = ""
    imported_from: str = ""


class UnknownFactType(Exception):  # noqa: N818 - names the finding
    """A fact of a type this service does not list. Its reader stops; it is never skipped."""


class FactTypes:
    """The fact types a service knows: every message with the `fact` option in the given generated modules."""

    def __init__(self, *modules: ModuleType) -> None:
        found = [fact_type for module in modules for fact_type in _fact_types(module.DESCRIPTOR)]
        self._by_name = {fact_type.name: fact_type for fact_type in found}
        self._by_message = {fact_type.message: fact_type for fact_type in found}
        self._decoders = Decoders({fact_type.name: fact_type.message.FromString for fact_type in found})

    def __iter__(self) -> Iterator[FactType]:
        return iter(self._by_name.values())

    def of(self, message: type[Message]) -> FactType:
        return self._by_message[message]

    def seal(self, payload: Message, fact_id: str, occurred_at: datetime, origin: Origin) -> bytes:
        """Returns the envelope's bytes. Raises KeyError for a message that is no fact of this service."""
        fact_type = self._by_message[type(payload)]
        # Filled in place: a constructor takes twice as long, and copies the messages it is given.
        envelope = Envelope()
        envelope.id = fact_id
        envelope.type = fact_type.name
        envelope.cause = origin.cause
        envelope.correlation = origin.correlation
        envelope.traceparent = origin.traceparent
        envelope.subjects.extend([getattr(payload, field) for field in fact_type.subjects])
        envelope.imported_from = origin.imported_from
        envelope.payload = payload.SerializeToString(deterministic=True)
        if fact_type.topic:
            envelope.key = getattr(payload, fact_type.key)
        set_timestamp(envelope.occurred_at, occurred_at)
        actor = envelope.actor
        actor.service, actor.person = origin.service, origin.person
        return envelope.SerializeToString(deterministic=True)

    def payload(self, envelope: Envelope) -> Message:
        """Returns the payload as its own message. Raises UnknownFactType, or Poison for bytes that do not decode."""
        try:
            return self._decoders[envelope.type](envelope.payload)
        except DecodeError as error:
            raise Poison(f"payload of {envelope.type} does not decode") from error

    def open_all(self, facts: Iterable[bytes]) -> Iterator[tuple[Envelope, Message]]:
        """Yields the envelope and the payload of each fact. Raises UnknownFactType or Poison at the first that fails.

        A loop of its own, since a replay spends most of its time here and a call per fact would show.
        """
        envelope_of, decoders = Envelope.FromString, self._decoders
        try:
            for fact in facts:
                envelope = envelope_of(fact)
                yield envelope, decoders[envelope.type](envelope.payload)
        except DecodeError as error:
            raise Poison("an envelope or its payload does not decode") from error


class Decoders(dict[str, Callable[[bytes], Message]]):
    """From bytes to a message, by the name of the type."""

    def __missing__(self, name: str) -> NoReturn:
        raise UnknownFactType(name)


def open_envelope(fact: bytes) -> Envelope:
    """Raises Poison for bytes that are no envelope."""
    try:
        envelope = Envelope.FromString(fact)
    except DecodeError as error:
        raise Poison("not an envelope") from error
    if not envelope.type or not envelope.id:
        raise Poison("an envelope without type or id")
    return envelope


def open_envelopes(facts: Sequence[bytes]) -> Sequence[Envelope]:
    """Opens some hundreds, for a reader that needs of each only the envelope. Raises Poison when one is no envelope.

    They are parts of one message. Of messages of their own, every 5,000 would make protobuf return what memory is free
    to the system (malloc_trim), which then has to be got again.
    """
    try:
        opened = OpenedFacts.FromString(SealedFacts(facts=facts).SerializeToString()).facts
    except DecodeError as error:
        raise Poison("not an envelope") from error
    if not all(envelope.type and envelope.id for envelope in opened):
        raise Poison("an envelope without type or id")
    return opened


def timestamp(instant: datetime) -> Timestamp:
    """Takes an aware instant. Exact to the microsecond, unlike a float of seconds."""
    stamp = Timestamp()
    set_timestamp(stamp, instant)
    return stamp


def set_timestamp(stamp: Timestamp, instant: datetime) -> None:
    """Makes a timestamp, one that is part of a message, that of an aware instant."""
    elapsed = instant - EPOCH
    stamp.seconds = elapsed.days * 86_400 + elapsed.seconds
    stamp.nanos = elapsed.microseconds * 1000


def instant(stamp: Timestamp) -> datetime:
    """Returns the instant in UTC, cut to microseconds."""
    return EPOCH + timedelta(0, stamp.seconds, stamp.nanos // 1000)  # a third of the time of ToDatetime


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _fact_types(file: FileDescriptor) -> Sequence[FactType]:
    found = []
    for descriptor in file.message_types_by_name.values():
        options = descriptor.GetOptions()
        if not options.HasExtension(fact_option):
            continue
        declared = options.Extensions[fact_option]
        message = GetMessageClass(descriptor)
        has_phases = any(field.message_type is Phase.DESCRIPTOR for field in descriptor.fields)
        found.append(
            FactType(
                descriptor.full_name,
                message,
                declared.topic,
                declared.key,
                tuple(declared.subjects),
                tells_state=bool(declared.topic) and has_phases,
            )
        )
    return found
