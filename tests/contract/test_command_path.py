"""The command path on both stores, with a small ledger as its service."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from holdspace.kernel.v1 import gate_pb2
from kernel.commands import CommandPath, Handled
from kernel.decision import Decision
from kernel.errors import Rejected, VersionConflict
from kernel.facts import FactTypes, Origin, instant, open_envelope
from kernel.folded import Fold
from kernel.freshness import WHOLE, LaneStatus
from kernel.gates import COPY_GATE, CopyGate, Gate, gate_of, gate_stream
from kernel.ids import RandomIds
from kernel.requests import reaction_request
from kernel.routes import Asked, Read, Route
from kernel.store.interface import Append, Appended, EventStore, RangeClaim, Request
from tests.gates import copy, told_phase

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TYPES = FactTypes(gate_pb2)
ORIGIN = Origin("web")


@dataclass(frozen=True, slots=True)
class Note:
    """A command that counts on its stream, for whom the gate `standing` is open."""

    subject: str
    now: datetime
    most: int = 1_000
    slot: RangeClaim | None = None


@dataclass(frozen=True, slots=True)
class EndHold:
    stream: str
    now: datetime


def note(command: Note, count: int, *, standing: Gate) -> Decision:
    if standing.at(command.now) == "SUSPENDED":
        raise Rejected("SUSPENDED", "subject")
    if count >= command.most:
        raise Rejected("FULL")
    fact = gate_pb2.GateCopied(gate="note", subject=command.subject, source_version=count + 1)
    return Decision([fact], claims=[command.slot] if command.slot else [])


def end_hold(command: EndHold, count: int) -> Decision:
    return Decision([gate_pb2.GateCopied(gate="ended", source_version=count + 1)], releases=["slot"])


COUNT: Fold[int] = Fold(0, lambda count, fact, at: count + 1)
ROUTES = [
    Route(
        Note,
        lambda command: f"note-{command.subject}",
        COUNT,
        note,
        reads={"standing": gate_of("standing", "subject")},
        claim_taken="SLOT_TAKEN",
        expire_hold=EndHold,
    ),
    Route(EndHold, lambda command: command.stream, COUNT, end_hold),
    COPY_GATE,
]


class Counted:
    def __init__(self) -> None:
        self.again = 0
        self.repeats = 0

    def decided_again(self, command: str) -> None:
        self.again += 1

    def repeated(self, command: str) -> None:
        self.repeats += 1


class Told:
    """A lane whose status a test sets."""

    def __init__(self) -> None:
        self.status = WHOLE

    async def look(self) -> LaneStatus:
        return self.status


def path_on(
    store: EventStore, routes: Sequence[Route] = ROUTES, metrics: Counted | None = None, gates: Told | None = None
) -> CommandPath:
    ids = RandomIds(random.Random(7))
    return CommandPath("test", store, TYPES, routes, ids, metrics or Counted(), gates or Told())


@pytest.fixture
def path(store: EventStore) -> CommandPath:
    return path_on(store)


def asked(name: object = None) -> Request:
    return reaction_request("test", str(name if name is not None else random.random()))


def suspended(version: int = 1, state: str = "SUSPENDED") -> CopyGate:
    return copy("standing", "c", [told_phase(state)], version=version, now=NOON)


async def test_a_command_becomes_facts_and_its_state(path: CommandPath, store: EventStore) -> None:
    first = await path.run(Note("c", NOON), asked(), Origin("web", "c", "request-1", "trace-1"))
    second = await path.run(Note("c", NOON), asked())

    assert (first.version, first.state, second.version, second.state) == (1, 1, 2, 2)
    assert second.position == 2
    envelope = open_envelope((await store.read_stream("note-c"))[0].fact)
    assert (envelope.actor.service, envelope.actor.person, envelope.cause) == ("web", "c", "request-1")
    assert instant(envelope.occurred_at) == NOON
    assert await path.state("note-c", COUNT) == 2


async def test_time_never_goes_back_in_a_stream(path: CommandPath, store: EventStore) -> None:
    await path.run(Note("c", NOON), asked())
    await path.run(Note("c", NOON - timedelta(hours=1)), asked())
    times = [instant(open_envelope(recorded.fact).occurred_at) for recorded in await store.read_stream("note-c")]
    assert times == [NOON, NOON]


async def test_a_thousand_commands_on_one_stream_at_once_all_take_effect_in_turn(store: EventStore) -> None:
    counted = Counted()
    path = path_on(store, metrics=counted)
    handled = await asyncio.gather(*(path.run(Note("c", NOON), asked()) for _ in range(300)))
    assert sorted(h.state for h in handled) == list(range(1, 301))
    assert counted.again == 0  # they took turns


async def test_two_processes_on_one_stream_decide_again_until_both_took_effect(store: EventStore) -> None:
    counted = Counted()
    paths = [path_on(store, metrics=counted) for _ in range(3)]
    for _ in range(10):
        await asyncio.gather(*(path.run(Note("c", NOON), asked()) for path in paths))
    assert await store.head() == 30
    assert counted.again > 0


async def test_a_repeated_request_returns_its_first_answer_even_where_a_rule_says_no_today(
    path: CommandPath, store: EventStore
) -> None:
    first = await path.run(Note("c", NOON), asked(1))
    await path.run(Note("c", NOON), asked(2))
    await path.run(suspended(), asked(3))
    again = await path.run(Note("c", NOON), asked(1))
    assert again == Handled(first.stream, first.version, first.position, first.state, 0, repeated=True)
    with pytest.raises(Rejected, match="SUSPENDED"):
        await path.run(Note("c", NOON), asked(4))
    assert await store.head() == 3


async def test_a_storm_of_the_same_request_from_several_processes_has_one_effect(store: EventStore) -> None:
    paths = [path_on(store) for _ in range(4)]
    answers = await asyncio.gather(*(paths[n % 4].run(Note("c", NOON), asked(1)) for n in range(80)))
    assert {(answer.version, answer.position, answer.state) for answer in answers} == {(1, 1, 1)}
    assert sorted(answer.repeated for answer in answers) == [False] + [True] * 79


async def test_a_request_id_used_for_something_else_is_refused(path: CommandPath) -> None:
    await path.run(Note("c", NOON), asked(1))
    other = Request(asked(1).key, asked(2).digest, asked(1).kind)
    with pytest.raises(Rejected, match="REQUEST_REUSED request_id"):
        await path.run(Note("c", NOON), other)


async def test_a_gate_closed_by_another_process_stops_the_next_command_here(store: EventStore) -> None:
    here, elsewhere = path_on(store), path_on(store)
    await here.run(Note("c", NOON), asked())  # now this process has the open gate in its cache
    await elsewhere.run(suspended(), asked())
    with pytest.raises(Rejected, match="SUSPENDED"):
        await here.run(Note("c", NOON), asked())
    assert len(await store.read_stream("note-c")) == 1


async def test_a_gate_opened_by_another_process_lets_the_next_command_here_pass(store: EventStore) -> None:
    here, elsewhere = path_on(store), path_on(store)
    await here.run(suspended(), asked())
    with pytest.raises(Rejected):
        await here.run(Note("c", NOON), asked())
    await elsewhere.run(suspended(2, "GOOD"), asked())
    assert (await here.run(Note("c", NOON), asked())).state == 1


async def test_a_copy_of_a_gate_never_goes_back_to_an_older_version(path: CommandPath, store: EventStore) -> None:
    await path.run(suspended(5), asked())
    await path.run(suspended(4, "GOOD"), asked())
    await path.run(suspended(5, "GOOD"), asked())
    assert len(await store.read_stream(gate_stream("standing", "c"))) == 1


async def test_what_another_stream_holds_is_refused_until_its_hold_expires(
    path: CommandPath, store: EventStore
) -> None:
    hold = RangeClaim("slot", NOON, NOON + timedelta(hours=1), expires_at=NOON - timedelta(minutes=5))
    await path.run(Note("a", NOON, slot=hold), asked())
    early = Note("b", NOON - timedelta(minutes=6), slot=replace(hold, expires_at=None))
    with pytest.raises(Rejected, match="SLOT_TAKEN"):
        await path.run(early, asked())
    assert (await path.run(replace(early, now=NOON), asked())).state == 1
    assert len(await store.read_stream("note-a")) == 2  # its expiry was appended by who met it


class Moving:
    """A store on which another writer is always faster."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self.appends = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def append(self, append: Append) -> Appended:
        self.appends += 1
        other = reaction_request("other", str(self.appends))
        fact = TYPES.seal(gate_pb2.GateCopied(gate="other"), "x", NOON, Origin("other"))
        await self._store.append(Append(append.stream, append.expected_version, [fact], other))
        return await self._store.append(append)


async def test_a_conflict_is_decided_again_a_bounded_number_of_times(store: EventStore) -> None:
    moving = Moving(store)
    path = CommandPath("test", moving, TYPES, ROUTES, RandomIds(), Counted(), Told(), attempts_max=4)  # type: ignore[arg-type]
    with pytest.raises(VersionConflict):
        await path.run(Note("c", NOON), asked())
    assert moving.appends == 4


async def test_a_fact_too_large_to_relay_is_refused_before_the_store(store: EventStore) -> None:
    def boast(command: Note, count: int) -> Decision:
        return Decision([gate_pb2.GateCopied(subject="x" * 70_000)])

    path = path_on(store, [Route(Note, lambda command: "s", COUNT, boast)])
    with pytest.raises(Rejected, match="FACT_TOO_LARGE"):
        await path.run(Note("c", NOON), asked())
    assert await store.head() == 0


def test_a_read_names_its_stream_from_the_command() -> None:
    read: Read = gate_of("age", "subject")
    assert read.stream(Note("c", NOON)) == "gate-age-c"


async def test_commands_in_order_are_each_decided_on_what_those_before_them_led_to(store: EventStore) -> None:
    counted = Counted()
    path = path_on(store, metrics=counted)
    requests = [asked(n) for n in range(50)]
    handled = await path.run_all([Asked(Note("c", NOON), request, ORIGIN) for request in requests])
    assert [(h.state, h.version, h.position) for h in handled if isinstance(h, Handled)] == [
        (n, n, n) for n in range(1, 51)
    ]
    again = await path.run(Note("c", NOON), requests[30])
    assert again == replace(handled[30], facts=0, repeated=True)  # type: ignore[type-var]
    assert (await path.run(Note("c", NOON), asked())).state == 51
    assert counted.again == 0


async def test_of_commands_in_order_one_that_is_refused_or_repeated_leaves_the_others_alone(store: EventStore) -> None:
    path = path_on(store)
    first = await path.run(Note("c", NOON), asked("first"))
    commands = [(Note("c", NOON), asked()), (Note("c", NOON), asked("first")), (Note("c", NOON, most=0), asked())]
    told = await path.run_all([Asked(c, r, ORIGIN) for c, r in [*commands, (Note("c", NOON), asked())]])
    assert [h.state if isinstance(h, Handled) else str(h) for h in told] == [2, first.state, "FULL", 3]
    assert len(await store.read_stream("note-c")) == 3


async def test_commands_in_order_are_decided_again_when_another_process_was_faster(store: EventStore) -> None:
    here, elsewhere = path_on(store), path_on(store)
    await here.run(Note("c", NOON), asked())
    await elsewhere.run(Note("c", NOON), asked())
    told = await here.run_all([Asked(Note("c", NOON), asked(), ORIGIN) for _ in range(3)])
    assert [h.state if isinstance(h, Handled) else str(h) for h in told] == [3, 4, 5]
    await elsewhere.run(suspended(), asked())
    told = await here.run_all([Asked(Note("c", NOON), asked(), ORIGIN) for _ in range(3)])
    assert [str(h) for h in told] == ["SUSPENDED subject"] * 3


async def test_commands_cancelled_anywhere_on_their_way_give_their_turn_back(store: EventStore) -> None:
    path = path_on(store)
    for turns in range(30):
        several = [Asked(Note(f"c{turns}", NOON), asked(), ORIGIN) for _ in range(3)]
        going = asyncio.create_task(path.run_all(several))
        for _ in range(turns):
            await asyncio.sleep(0)
        going.cancel()
        await asyncio.wait([going])
        async with asyncio.timeout(20):
            await path.run(Note(f"c{turns}", NOON), asked())


@pytest.mark.rule("MO5", "AV4")
async def test_while_a_fact_about_the_subject_is_parked_its_gate_is_closed_and_nobody_elses(store: EventStore) -> None:
    gates = Told()
    path = path_on(store, gates=gates)
    await path.run(Note("c", NOON), asked())
    gates.status = LaneStatus(is_fresh=True, parked=frozenset({"c"}))
    with pytest.raises(Rejected, match="GATE_PARKED"):
        await path.run(Note("c", NOON), asked())
    told = await path.run_all([Asked(Note(subject, NOON), asked(), ORIGIN) for subject in ("c", "d", "c")])
    assert [h.state if isinstance(h, Handled) else str(h) for h in told] == ["GATE_PARKED", 1, "GATE_PARKED"]
    gates.status = WHOLE
    assert (await path.run(Note("c", NOON), asked())).state == 2


async def test_of_commands_in_order_those_that_claim_are_run_by_themselves(store: EventStore) -> None:
    path = path_on(store)
    slot = RangeClaim("slot", NOON, NOON + timedelta(hours=1))
    commands = [Note("c", NOON), Note("c", NOON, slot=slot), Note("c", NOON)]
    told = await path.run_all([Asked(command, asked(), ORIGIN) for command in commands])
    assert [h.state if isinstance(h, Handled) else str(h) for h in told] == [1, 2, 3]
    [taken] = await path.run_all([Asked(Note("d", NOON, slot=slot), asked(), ORIGIN)])
    assert str(taken) == "SLOT_TAKEN"
    with pytest.raises(ValueError, match="one by one"):
        await store.append_all([Append("s", 0, [b"x"], asked(), claims=[slot])])
