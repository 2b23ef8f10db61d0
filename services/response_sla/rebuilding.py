"""The inputs of response-SLA made again out of the topics, beside those it has.

What is found goes the way of every other input: as commands, which do nothing about what is known. So it may be taken
in while the service runs, former answers stay as they were, and nothing is deleted. Memory holds all inputs.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import asyncpg

from holdspace.kernel.v1 import gate_pb2
from holdspace.messaging.v1 import events_pb2 as messaging_events_pb2
from holdspace.messaging.v1.events_pb2 import MessageSent
from holdspace.moderation.v1 import events_pb2 as moderation_events_pb2
from holdspace.response_sla.v1 import private_pb2
from kernel.commands import CommandPath
from kernel.consumers.reader import LogReader
from kernel.consumers.records import ForeignFact, Partition, Record
from kernel.errors import Poison
from kernel.facts import FactTypes, instant, open_envelope, open_envelopes
from kernel.folded import Fold
from kernel.foreign import OnForeign
from kernel.relay import headers as relay_headers
from kernel.replay import replay
from kernel.requests import reaction_request
from kernel.routes import Command
from services.response_sla.app import CONVERSATION, PERSON, POLICIES
from services.response_sla.domain.client_inputs import NoteAboutPerson, Person, person_stream
from services.response_sla.domain.conversation import Conversation, conversation_stream
from services.response_sla.domain.conversation_waits import EvaluateConversation, NoteMessages
from services.response_sla.domain.inputs import PersonInput, SentMessage
from services.response_sla.domain.policy import Policies
from services.response_sla.domain.response_policy import STREAM
from services.response_sla.domain.timeline import Inputs, in_order
from services.response_sla.domain.turning import TurnParties
from services.response_sla.domain.wait import Parties
from services.response_sla.domain.waits import waits
from services.response_sla.reactions import CONSUMERS, facts, join_notes, standings

OWN = FactTypes(gate_pb2, private_pb2)
FOREIGN = FactTypes(messaging_events_pb2, moderation_events_pb2)
FOLDS: Mapping[str, Fold[Any]] = {"conversation-": CONVERSATION, "person-": PERSON, STREAM: POLICIES}
HEAD = "select coalesce(max(position), 0) from facts"
PARKED = 'select topic, partition, "offset" from parked_records where consumer = any ($1::text[])'
SENT = MessageSent.DESCRIPTOR.full_name


Place = tuple[str, int, int]
"""Of a record: topic, partition, offset."""


@dataclass(slots=True)
class Told:
    """What the topics say. `begun`: partitions that no longer hold their first facts. `left`: records that are parked
    or that nobody can read.
    """

    notes: dict[str, list[NoteMessages]] = field(default_factory=lambda: defaultdict(list))
    turns: dict[str, TurnParties] = field(default_factory=dict)
    about: dict[str, list[PersonInput]] = field(default_factory=lambda: defaultdict(list))
    begun: list[Partition] = field(default_factory=list)
    left: int = 0

    @property
    def counts(self) -> tuple[int, int]:
        messages = sum(len(note.messages) for notes in self.notes.values() for note in notes)
        return messages, sum(map(len, self.about.values()))

    def conversations(self) -> Iterator[NoteMessages]:
        """Yields the messages of each conversation, the way round that its people are now."""
        for conversation_id, notes in self.notes.items():
            turned = self.turns.get(conversation_id)
            last = replace(notes[-1], messages=(), parties=turned.parties if turned else notes[-1].parties)
            yield join_notes([*notes, last])

    def take(self, command: Command) -> None:
        match command:
            case NoteMessages():
                self.notes[command.parties.conversation_id].append(command)
            case TurnParties():
                known = self.turns.get(command.parties.conversation_id)
                if known is None or known.turn < command.turn:
                    self.turns[command.parties.conversation_id] = command
            case NoteAboutPerson():
                self.about[command.person_id].append(command.told)
            case _:
                raise TypeError(f"{type(command).__name__} comes of no topic")


@dataclass(frozen=True, slots=True)
class Known:
    """What this service's store holds, by stream."""

    conversations: Mapping[str, Conversation]
    people: Mapping[str, Person]
    policies: Policies

    @property
    def counts(self) -> tuple[int, int]:
        messages = sum(len(each.messages) for each in self.conversations.values())
        return messages, sum(len(each.inputs) for each in self.people.values())

    def conversation(self, conversation_id: str) -> Conversation:
        return self.conversations.get(conversation_stream(conversation_id), Conversation())

    def person(self, person_id: str) -> Person:
        return self.people.get(person_stream(person_id), Person())


@dataclass(frozen=True, slots=True)
class Differences:
    """`missing`: commands that take in what only the topics have. `only_here`, `about_only_here`: what the topics do
    not have. `others`: conversations whose waits would be others, made of the topics alone.
    """

    missing: Sequence[NoteMessages]
    missing_about: Sequence[NoteAboutPerson]
    missing_turns: Sequence[TurnParties]
    only_here: Sequence[tuple[Parties, SentMessage]]
    about_only_here: int
    others: Sequence[Parties]

    @property
    def missing_messages(self) -> int:
        return sum(len(command.messages) for command in self.missing)


async def read_told(bootstrap: str, parked: Collection[Place], now: datetime) -> Told:
    """Reads the topics from their beginning to where they end now, without what is parked.

    Raises KafkaError, or LogChanged when records are deleted meanwhile.
    """
    entries = {FOREIGN.of(each.fact).name: each for each in (*facts(), *standings())}
    reader = LogReader(bootstrap)
    partitions = await reader.partitions({FOREIGN.of(each.fact).topic for each in entries.values()})
    begins, ends = await reader.begins(partitions), await reader.ends(partitions)
    told = Told(begun=[each for each in partitions if begins[each]])
    ranges = {each: range(begins[each], ends[each]) for each in partitions}
    async with aclosing(reader.pages_of(ranges)) as pages:
        async for page in pages:
            for record in page:
                if (record.topic, record.partition, record.offset) in parked:
                    told.left += 1
                else:
                    _take(told, record, entries, now)
    return told


def _take(told: Told, record: Record, entries: Mapping[str, OnForeign], now: datetime) -> None:
    try:
        headers, envelope = relay_headers.decode(record.headers), open_envelope(record.value or b"")
        entry = entries.get(envelope.type)
        if entry is None:
            return
        payload = FOREIGN.payload(envelope)
    except Poison:
        told.left += 1
        return
    fact = ForeignFact(envelope, payload, record.topic, record.partition, record.offset, *headers)
    for command in entry.react(fact, now):
        told.take(command)


async def read_parked(connection: asyncpg.Connection) -> set[Place]:
    """Takes a connection that reads this service's store. Returns what waits for an operator there."""
    return {(row["topic"], row["partition"], row["offset"]) for row in await connection.fetch(PARKED, CONSUMERS)}


async def read_known(connection: asyncpg.Connection) -> Known:
    """Takes a connection that reads this service's facts."""
    states: dict[str, Any] = {}
    async with aclosing(replay(connection, 0, await connection.fetchval(HEAD))) as pages:
        async for page in pages:
            for stream, (envelope, payload) in zip(page.streams, OWN.open_all(page.facts), strict=True):
                fold = next((fold for prefix, fold in FOLDS.items() if stream.startswith(prefix)), None)
                if fold is not None:
                    known = states.get(stream, fold.initial)
                    states[stream] = fold.evolve(known, payload, instant(envelope.occurred_at))
    return Known(
        conversations={stream: state for stream, state in states.items() if isinstance(state, Conversation)},
        people={stream: state for stream, state in states.items() if isinstance(state, Person)},
        policies=states.get(STREAM, Policies()),
    )


def compare(told: Told, known: Known, now: datetime) -> Differences:
    missing, others = [], []
    about = {
        person_id: [item for item in items if not known.person(person_id).lost(item)]
        for person_id, items in told.about.items()
    }
    for note in told.conversations():
        parties, messages = note.parties, note.messages
        conversation = known.conversation(parties.conversation_id)
        unknown = [message for message in messages if not conversation.noted.has(message)]
        if unknown:
            missing.append(NoteMessages(parties, unknown, now))
        client, therapist = about.get(parties.client_id, ()), about.get(parties.therapist_id, ())
        inputs = Inputs(messages, client, therapist, conversation.not_owed)
        if waits(parties, inputs, known.policies) != conversation.waits:
            others.append(parties)
    return Differences(
        missing=missing,
        missing_about=[
            NoteAboutPerson(person_id, item, now)
            for person_id, items in about.items()
            for item in {(each.fact_id, each.source): each for each in items}.values()
            if not known.person(person_id).has(item)
        ],
        missing_turns=[
            turned
            for conversation_id, turned in told.turns.items()
            if known.conversation(conversation_id).turn < turned.turn
        ],
        only_here=list(_only_here(told, known)),
        about_only_here=sum(
            item.fact_id not in {each.fact_id for each in told.about.get(stream.removeprefix("person-"), ())}
            for stream, person in known.people.items()
            for item in person.inputs
        ),
        others=others,
    )


def _only_here(told: Told, known: Known) -> Iterable[tuple[Parties, SentMessage]]:
    for conversation in known.conversations.values():
        notes = told.notes.get(conversation.parties.conversation_id, ())
        there = {message.fact_id for note in notes for message in note.messages}
        for message in conversation.messages:
            if message.fact_id not in there:
                yield conversation.parties, message


async def take_in(differences: Differences, path: CommandPath, run: str, now: datetime) -> None:
    """Takes in what is missing and evaluates what would be other. `run` names this rebuild, once and for all."""
    commands: list[Command] = [
        *differences.missing_about,
        *differences.missing,
        *differences.missing_turns,
        *(EvaluateConversation(parties, now) for parties in differences.others),
    ]
    for number, command in enumerate(commands):
        await path.run(command, reaction_request("rebuild", run, str(number)))


async def sent_by(connection: asyncpg.Connection) -> set[str]:
    """Takes a connection that reads messaging's facts. Returns the ids of all messages its store holds."""
    found: set[str] = set()
    async with aclosing(replay(connection, 0, await connection.fetchval(HEAD))) as pages:
        async for page in pages:
            found.update(envelope.id for envelope in open_envelopes(page.facts) if envelope.type == SENT)
    return found


def no_longer_sent(known: Known, source: str, held: Collection[str]) -> list[tuple[Parties, SentMessage]]:
    """Returns the messages that count here, told by a source (service/cell), whose store holds them no more."""
    return [
        (conversation.parties, message)
        for conversation in known.conversations.values()
        for message in in_order(conversation.messages)
        if message.source.name == source and message.fact_id not in held
    ]
