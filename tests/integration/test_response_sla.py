"""Response-SLA as its callers meet it: the service as a process, fed by real topics, called over gRPC."""

import asyncio
import os
import random
import secrets
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from holdspace.messaging.v1.events_pb2 import EXPECTATION_REPLY, MESSAGE_KIND_TEXT, MessageSent
from holdspace.messaging.v1.service_pb2 import ImportLine, ImportMessagesRequest
from holdspace.messaging.v1.service_pb2_grpc import MessagingServiceStub
from holdspace.moderation.v1.events_pb2 import (
    FINDING_BAD_FAITH,
    FINDING_DISMISSED,
    FINDING_UPHELD,
    REINSTATEMENT_LIFTED,
    SEVERITY_HARASSMENT,
    ClientReinstated,
    ClientReported,
    ClientSuspended,
    ReportDecided,
)
from holdspace.response_sla.v1.private_pb2 import (
    RESPONSE_KIND_FIRST,
    RESPONSE_KIND_NEXT,
    VOID_REASON_SUSPENSION,
    VOID_REASON_THERAPIST_SUSPENSION,
    ResponsePolicy,
)
from holdspace.response_sla.v1.service_pb2 import (
    WAIT_STATE_CLOSED,
    WAIT_STATE_EXCLUDED,
    WAIT_STATE_NOT_OWED,
    WAIT_STATE_OPEN,
    WAIT_STATE_VOIDED,
    DeclareNoReplyOwedRequest,
    FigureGroup,
    GetFiguresRequest,
    GetFiguresUnderPolicyRequest,
    GetProgressRequest,
    ListFiguresRequest,
    ListResponsePoliciesRequest,
    ListWaitsRequest,
    SetResponsePolicyRequest,
)
from holdspace.response_sla.v1.service_pb2_grpc import ResponseSlaServiceStub
from infra.database import prepare
from infra.local.servers import Servers
from kernel.facts import timestamp
from kernel.gates import phase
from kernel.rebuild import rebuild
from services.response_sla.projections import READ_MODEL
from services.response_sla.wiring import RESPONSE_SLA
from tests.calls import fresh, refused
from tests.integration.elsewhere import Elsewhere, Said, by_messaging, by_moderation, elsewhere
from tests.reference import straight_line
from tests.running import ServiceProcess

RIGHTS = ("response_sla.read", "response_sla.read_all")
ORIGIN = datetime(2026, 3, 1, tzinfo=UTC)
HOUR_MS = 3_600_000
TRACE = Path(os.environ.get("HOLDSPACE_TRACE", ""))
Line = tuple[str, str, int]

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def process(
    servers: Servers, module_database_url: str, credentials: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("response_sla")
    process = ServiceProcess("response_sla", servers, module_database_url, credentials, folder)
    yield process.start()
    assert process.stop() == 0, process.log.read_text()[-2000:]


@pytest.fixture(scope="module")
def messaging(
    servers: Servers, module_database_url: str, credentials: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("messaging")
    process = ServiceProcess("messaging", servers, module_database_url, credentials, folder)
    yield process.start()
    assert process.stop() == 0, process.log.read_text()[-2000:]


@pytest.fixture
async def stub(process: ServiceProcess) -> AsyncIterator[Any]:
    async with process.channel(*RIGHTS) as open_channel:
        yield ResponseSlaServiceStub(open_channel)


@pytest.fixture
async def others(servers: Servers) -> AsyncIterator[Elsewhere]:
    async with elsewhere(servers.kafka) as stores:
        yield stores


def hour(hours: float) -> datetime:
    return ORIGIN + timedelta(hours=hours)


class Pair:
    """A client and a therapist, and what is said about them. Times are hours."""

    def __init__(self, name: str = "") -> None:
        self.client, self.therapist = f"client-{name or fresh()}", f"therapist-{name or fresh()}"
        self.conversation = f"conversation-{name or fresh()}"
        self._sequence = 0

    def writes(self, sender: str, at: float) -> Said:
        self._sequence += 1
        sent = MessageSent(
            conversation_id=self.conversation,
            client_id=self.client,
            therapist_id=self.therapist,
            sequence=self._sequence,
            message_id=fresh(),
            sender="SIDE_CLIENT" if sender == "client" else "SIDE_THERAPIST",
            expects=EXPECTATION_REPLY,
            kind=MESSAGE_KIND_TEXT,
        )
        return by_messaging(hour(at), sent)

    def reports(self, at: float, report_id: str) -> Said:
        about = {"client_id": self.client, "report_id": report_id, "reporter_id": self.therapist}
        return by_moderation(hour(at), ClientReported(**about, severity=SEVERITY_HARASSMENT), 1)

    def decided(self, at: float, report_id: str, finding: Any) -> Said:
        about = {"client_id": self.client, "report_id": report_id, "reporter_id": self.therapist}
        return by_moderation(hour(at), ReportDecided(**about, finding=finding, moderator_id="moderator"), 2)

    def suspended(self, at: float, person: str = "") -> Said:
        standing = [phase("SUSPENDED", closed=True)]
        return by_moderation(hour(at), ClientSuspended(client_id=person or self.client, standing=standing), 3)

    def lost(self, messages: int) -> None:
        """The last messages are not in messaging any more."""
        self._sequence -= messages

    def lifted(self, at: float) -> Said:
        lifted = ClientReinstated(
            client_id=self.client, standing=[phase("GOOD")], reinstatement=REINSTATEMENT_LIFTED, moderator_id="m"
        )
        return by_moderation(hour(at), lifted, 4)


async def reached(stub: Any, revisions: Sequence[str], seconds: float = 100) -> None:
    """Waits as an import tool does: until everything it brought is in the figures."""
    async with asyncio.timeout(seconds):
        while not (await stub.GetProgress(GetProgressRequest(revisions=revisions))).revisions_reached:  # noqa: ASYNC110 - the API is asked
            await asyncio.sleep(0.1)


async def figures(stub: Any, therapist: str, **more: Any) -> Any:
    return await stub.GetFigures(GetFiguresRequest(therapist_id=therapist, **{"as_of": timestamp(hour(1000)), **more}))


async def every_page(call: Any, request: Any, items: str) -> tuple[list[Any], list[Any]]:
    """Returns all items of a list, and what each page rests on."""
    found, bases = [], []
    while True:
        answer = await call(request)
        found += list(getattr(answer, items))
        bases.append((answer.basis.as_of, answer.basis.known_on, answer.basis.position))
        if not answer.next_page_token:
            return found, bases
        request.page_token = answer.next_page_token


def summary(group: FigureGroup) -> dict[str, int | None]:
    return {
        "count": group.count,
        "median_ms": group.median_ms if group.HasField("median_ms") else None,
        "p90_ms": group.p90_ms if group.HasField("p90_ms") else None,
    }


def as_straight_line(listed: Any) -> dict[str, Any]:
    groups = {name: summary(getattr(listed, name)) for name in ("first", "next", "all")}
    return {**groups, "open": listed.all.open}


def made_up(lines: int, name: str) -> list[Line]:
    """A trace in which everybody may be a client of one and the therapist of another, and lines can share a second."""
    dice, people, at = random.Random(20), [f"{name}-{n}" for n in range(60)], 1_600_000_000
    told = []
    for _ in range(lines):
        at += dice.choice((0, 1, 60, 3_600))
        told.append((dice.choice(people), dice.choice(people[:20]), at))
        if dice.random() < 0.4:
            sender, receiver, _ = dice.choice(told[-30:])
            told.append((receiver, sender, at))
    return told


async def bring(messaging: ServiceProcess, lines: Sequence[Line]) -> list[str]:
    source, revisions = fresh(), []
    async with messaging.channel("messaging.import") as channel:
        for first in range(0, len(lines), 1000):
            brought = [
                ImportLine(line=number, sender_id=sender, recipient_id=receiver, sent_at={"seconds": seconds})
                for number, (sender, receiver, seconds) in enumerate(lines[first : first + 1000], first + 1)
            ]
            request = ImportMessagesRequest(request_id=fresh(), source=source, operator_id="operator", lines=brought)
            revisions.append((await MessagingServiceStub(channel).ImportMessages(request)).revision)
    return revisions


@pytest.mark.rule("SL7", "SL9", "SL14", "PL6")
async def test_the_figures_of_an_imported_past_are_those_of_the_straight_line_and_open_to_their_waits(
    messaging: ServiceProcess, stub: Any
) -> None:
    name = secrets.token_hex(4)
    lines = made_up(2_000, name)
    await reached(stub, await bring(messaging, lines))
    listed, bases = await every_page(stub.ListFigures, ListFiguresRequest(page_size=7), "therapists")
    ours = {each.therapist_id: each for each in listed if each.therapist_id.startswith(name)}
    assert {therapist: as_straight_line(each) for therapist, each in ours.items()} == straight_line.figures(lines)
    assert len(set(map(str, bases))) == 1

    for therapist in list(ours)[:5]:
        basis = {"as_of": bases[0][0], "known_on": bases[0][1], "therapist_id": therapist}
        alone = await stub.GetFigures(GetFiguresRequest(**basis))
        assert (alone.first, alone.next, alone.all) == (
            ours[therapist].first,
            ours[therapist].next,
            ours[therapist].all,
        )
        waits, _ = await every_page(stub.ListWaits, ListWaitsRequest(**basis, page_size=9), "waits")
        assert len(waits) == alone.all.opened
        assert parts_of(waits) == Counter(closed=alone.all.count, open=alone.all.open)
        times = [wait.response_ms for wait in waits if wait.HasField("response_ms")]
        assert straight_line.summary(times) == summary(alone.all)


def parts_of(waits: Sequence[Any]) -> Counter[str]:
    names = {WAIT_STATE_CLOSED: "closed", WAIT_STATE_OPEN: "open", WAIT_STATE_VOIDED: "voided"}
    return Counter(names.get(wait.state, "excluded") for wait in waits)


def eventful(pair: Pair, seed: int) -> list[Said]:
    dice = random.Random(seed)
    said = [pair.writes("client", 0)]
    said += [pair.writes(dice.choice(("client", "therapist")), at) for at in sorted(dice.sample(range(1, 300), 25))]
    report_id = f"report-{seed}"
    moderated = [
        pair.reports(dice.randrange(60), report_id),
        pair.decided(
            dice.randrange(60, 250), report_id, dice.choice((FINDING_UPHELD, FINDING_DISMISSED, FINDING_BAD_FAITH))
        ),
        pair.suspended(dice.randrange(60, 150)),
        pair.lifted(dice.randrange(150, 250)),
    ]
    return said + dice.sample(moderated, dice.randrange(5))


@pytest.mark.rule("SL8.a")
async def test_facts_that_come_twice_late_and_in_another_order_give_the_same_waits(
    stub: Any, others: Elsewhere, servers: Servers
) -> None:
    dice, run = random.Random(3), fresh()
    in_order, disturbed = ([Pair(f"{run}-{kind}-{n}") for n in range(16)] for kind in ("a", "b"))
    orderly = [said for n, pair in enumerate(in_order) for said in eventful(pair, n)]
    told = [said for n, pair in enumerate(disturbed) for said in eventful(pair, n)]
    revisions = await others.says(sorted(orderly, key=lambda said: said.at))
    async with elsewhere(servers.kafka) as again:
        for _ in range(2):
            for stores in (others, again):
                revisions += await stores.says(dice.sample(told, len(told)))
        await reached(stub, revisions)

    seen: Counter[str] = Counter()
    for one, other in zip(in_order, disturbed, strict=True):
        listed = []
        for pair in (one, other):
            request = ListWaitsRequest(therapist_id=pair.therapist, as_of=timestamp(hour(1000)), page_size=500)
            waits = list((await stub.ListWaits(request)).waits)
            seen.update(parts_of(waits))
            for wait in waits:
                wait.client_id = wait.conversation_id = ""
            listed.append(waits)
        assert listed[0] == listed[1]
        assert (await figures(stub, one.therapist)).all == (await figures(stub, other.therapist)).all
    assert all(seen[part] > 5 for part in ("closed", "open", "voided", "excluded")), seen


@pytest.mark.rule("SL4", "SL5")
async def test_a_report_straight_away_leaves_the_figures_and_what_was_known_before_can_still_be_asked(
    stub: Any, others: Elsewhere
) -> None:
    pair = Pair()
    await reached(stub, await others.says([pair.writes("client", 0)]))
    before = await figures(stub, pair.therapist)
    assert (before.all.open, before.all.excluded) == (1, 0)

    await reached(stub, await others.says([pair.reports(3, "r1")]))
    after = await figures(stub, pair.therapist)
    assert (after.first.open, after.first.excluded, after.first.opened) == (0, 1, 1)
    wait = await only_wait(stub, pair)
    assert (wait.state, wait.report_id, wait.provisional) == (WAIT_STATE_EXCLUDED, "r1", True)

    await reached(stub, await others.says([pair.decided(30, "r1", FINDING_UPHELD)]))
    assert not (await only_wait(stub, pair)).provisional
    assert (await figures(stub, pair.therapist)).all == after.all
    then = await figures(stub, pair.therapist, known_on=before.basis.known_on)
    assert then.all == before.all
    assert then.basis.known_on == before.basis.known_on


async def only_wait(stub: Any, pair: Pair) -> Any:
    request = ListWaitsRequest(therapist_id=pair.therapist, as_of=timestamp(hour(1000)))
    (wait,) = (await stub.ListWaits(request)).waits
    return wait


@pytest.mark.rule("SL4", "MO5")
async def test_a_suspension_voids_the_open_waits_with_every_therapist(
    process: ServiceProcess, stub: Any, others: Elsewhere
) -> None:
    client, pairs = f"client-{fresh()}", [Pair() for _ in range(12)]
    for pair in pairs:
        pair.client = client
    await reached(stub, await others.says([pair.writes("client", n) for n, pair in enumerate(pairs)]))
    await reached(stub, await others.says([pairs[0].suspended(50)]))
    waits = [await only_wait(stub, pair) for pair in pairs]
    assert {(wait.state, wait.void_reason) for wait in waits} == {(WAIT_STATE_VOIDED, VOID_REASON_SUSPENSION)}
    assert {wait.ended_at.ToDatetime(UTC) for wait in waits} == {hour(50)}
    assert (await figures(stub, pairs[0].therapist, as_of=timestamp(hour(49)))).all.open == 1
    lines = await asyncio.to_thread(metrics, process)
    assert float(lines["holdspace_suspension_to_void_seconds_count"]) >= 12
    assert float(lines["holdspace_report_to_enforced_seconds_count"]) >= 1


@pytest.mark.rule("SL4", "MO1")
async def test_a_suspension_of_the_therapist_voids_the_open_waits_with_every_client(
    stub: Any, others: Elsewhere
) -> None:
    pairs = [Pair() for _ in range(3)]
    for pair in pairs:
        pair.therapist = pairs[0].therapist
    await reached(stub, await others.says([pair.writes("client", n) for n, pair in enumerate(pairs)]))
    await reached(stub, await others.says([pairs[0].suspended(50, pairs[0].therapist)]))
    request = ListWaitsRequest(therapist_id=pairs[0].therapist, as_of=timestamp(hour(1000)))
    waits = (await stub.ListWaits(request)).waits
    assert [(wait.state, wait.void_reason) for wait in waits] == [
        (WAIT_STATE_VOIDED, VOID_REASON_THERAPIST_SUSPENSION)
    ] * 3


@pytest.mark.rule("SL8")
async def test_after_a_restore_of_messaging_a_reply_at_a_lost_sequence_ends_the_wait(
    stub: Any, servers: Servers
) -> None:
    async with elsewhere(servers.kafka) as stores:
        pair = Pair()
        await reached(
            stub, await stores.says([pair.writes("client", 0), pair.writes("therapist", 1), pair.writes("client", 2)])
        )
        pair.lost(2)
        stores.restored("messaging", 1)
        await reached(stub, await stores.says([pair.writes("therapist", 9)]))
        wait = await only_wait(stub, pair)
    assert (wait.state, wait.answering_sequence, wait.response_ms) == (WAIT_STATE_CLOSED, 2, 9 * HOUR_MS)


def metrics(process: ServiceProcess) -> dict[str, str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{process.metrics_port}/metrics") as page:
        lines = page.read().decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


async def test_figures_say_what_lies_within_the_target_and_how_large_the_sample_is(
    stub: Any, others: Elsewhere
) -> None:
    pair = Pair()
    said = [
        pair.writes(*line)
        for line in (("client", 0), ("therapist", 2), ("client", 10), ("therapist", 40), ("client", 50))
    ]
    await reached(stub, await others.says(said))
    found = await figures(stub, pair.therapist, as_of=timestamp(hour(100)))
    assert (found.first.median_ms, found.next.median_ms) == (2 * HOUR_MS, 30 * HOUR_MS)
    assert (found.all.count, found.all.closed_within_target, found.all.open_past_target) == (2, 1, 1)
    assert found.all.share_within_target == pytest.approx(1 / 3)
    assert not found.all.comparable
    window = {"opened_from": timestamp(hour(10)), "opened_before": timestamp(hour(50))}
    assert (await figures(stub, pair.therapist, **window)).all.opened == 1
    for kind, opened in ((RESPONSE_KIND_FIRST, 1), (RESPONSE_KIND_NEXT, 2)):
        request = ListWaitsRequest(therapist_id=pair.therapist, kind=kind, as_of=timestamp(hour(100)))
        assert len((await stub.ListWaits(request)).waits) == opened


async def test_a_list_under_way_keeps_resting_on_what_its_first_page_did(stub: Any, others: Elsewhere) -> None:
    pairs = [Pair() for _ in range(6)]
    for pair in pairs:
        pair.therapist = pairs[0].therapist
    await reached(stub, await others.says([pair.writes("client", n) for n, pair in enumerate(pairs)]))
    request = ListWaitsRequest(therapist_id=pairs[0].therapist, page_size=4)
    first = await stub.ListWaits(request)
    await reached(stub, await others.says([pair.writes("therapist", 9) for pair in pairs]))
    request.page_token = first.next_page_token
    rest = await stub.ListWaits(request)
    assert [wait.state for wait in [*first.waits, *rest.waits]] == [WAIT_STATE_OPEN] * 6
    assert not rest.next_page_token
    request.kind = RESPONSE_KIND_FIRST
    assert await refused(stub.ListWaits(request)) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID", "page_token")


async def test_progress_tells_each_source_and_up_to_when_the_figures_are_complete(stub: Any, others: Elsewhere) -> None:
    began = datetime.now(UTC)
    revisions = await others.says([Pair().writes("client", 0)])
    await reached(stub, revisions)
    told = await stub.GetProgress(GetProgressRequest(revisions=revisions))
    assert {each.topic for each in told.inputs} == {
        "holdspace.messaging.v1",
        "holdspace.moderation.v1",
        "holdspace.standing.v1",
    }
    assert told.head >= told.position > 0
    assert max(each.reached.ToDatetime(UTC) for each in told.inputs) >= began
    asked = GetProgressRequest(revisions=[revisions[0], "not a revision"])
    assert await refused(stub.GetProgress(asked)) == ("INVALID_ARGUMENT", "FIELD_MALFORMED", "revisions[1]")


async def test_nobody_sees_anothers_figures_and_an_unknown_therapist_has_none(
    process: ServiceProcess, stub: Any
) -> None:
    asked = GetFiguresRequest(therapist_id="therapist-unknown")
    assert (await stub.GetFigures(asked)).all == FigureGroup()
    async with process.channel(*RIGHTS[:1], subject="somebody", kind="person") as theirs:
        person = ResponseSlaServiceStub(theirs)
        mine = await person.GetFigures(GetFiguresRequest(therapist_id="somebody"))
        assert mine.all.opened == 0
        for call in (person.GetFigures(asked), person.ListWaits(ListWaitsRequest(therapist_id="therapist-unknown"))):
            assert await refused(call) == ("PERMISSION_DENIED", "PERSON_NOT_YOURS", "therapist_id")
        for call in (person.ListFigures(ListFiguresRequest()), person.GetProgress(GetProgressRequest())):
            assert await refused(call) == ("PERMISSION_DENIED", "RIGHT_MISSING", "")


@pytest.mark.rule("SL5", "SL9")
async def test_another_target_changes_nothing_that_was_before_it_and_every_wait_names_its_policy(
    process: ServiceProcess, stub: Any, others: Elsewhere
) -> None:
    pair, year = Pair(), 366 * 24
    told = [pair.writes("client", 0), pair.writes("therapist", 10), pair.writes("client", 20)]
    await reached(stub, await others.says(told))
    before = await figures(stub, pair.therapist, as_of=timestamp(hour(100)))
    assert (before.all.closed_within_target, before.all.open_past_target) == (1, 1)

    version = f"short-{fresh()}"
    async with process.channel("response_sla.set_policy", *RIGHTS) as channel:
        operator = ResponseSlaServiceStub(channel)
        request = SetResponsePolicyRequest(
            request_id=fresh(), operator_id="operator-1", policy=policy(version, hour(5 * year))
        )
        done = await operator.SetResponsePolicy(request)
        assert await operator.SetResponsePolicy(request) == done
        again = SetResponsePolicyRequest(request_id=fresh(), operator_id="operator-1", policy=request.policy)
        assert await refused(operator.SetResponsePolicy(again)) == (
            "ALREADY_EXISTS",
            "POLICY_VERSION_TAKEN",
            "policy.policy_version",
        )
        again.policy.policy_version, again.policy.in_force_from.seconds = fresh(), 1_700_000_000
        assert await refused(operator.SetResponsePolicy(again)) == (
            "FAILED_PRECONDITION",
            "POLICY_TOO_SOON",
            "policy.in_force_from",
        )
        listed, _ = await every_policy(operator, done.revision)
    assert listed[0] == "default"
    assert version in listed

    later = [pair.writes("therapist", 5 * year + 1), pair.writes("client", 5 * year + 2)]
    await reached(stub, await others.says(later))
    after = await figures(stub, pair.therapist, as_of=timestamp(hour(100)))
    assert after.all == before.all
    for known_on in (before.basis.known_on, after.basis.known_on):
        assert (await figures(stub, pair.therapist, as_of=timestamp(hour(100)), known_on=known_on)).all == before.all
    request = ListWaitsRequest(therapist_id=pair.therapist, as_of=timestamp(hour(6 * year)))
    waits = (await stub.ListWaits(request)).waits
    assert [(wait.policy_version, wait.target_ms) for wait in waits] == [
        ("default", 24 * HOUR_MS),
        ("default", 24 * HOUR_MS),
        (version, HOUR_MS),
    ]
    both = await figures(stub, pair.therapist, as_of=timestamp(hour(6 * year)))
    assert list(both.policy_versions) == ["default", version]


def policy(version: str, begins: datetime | None) -> ResponsePolicy:
    return ResponsePolicy(
        policy_version=version,
        first_response_target_seconds=3600,
        next_response_target_seconds=3600,
        undecided_report_seconds=3600,
        comparable_sample_min=2,
        not_owed_return_seconds=3600,
        in_force_from=None if begins is None else timestamp(begins),
    )


async def every_policy(stub: Any, revision: str) -> tuple[list[str], int]:
    found, pages, token = [], 0, ""
    while True:
        asked = ListResponsePoliciesRequest(page_size=1, page_token=token, at_least=revision)
        answer = await stub.ListResponsePolicies(asked)
        found, pages, token = (
            found + [each.policy_version for each in answer.policies],
            pages + 1,
            answer.next_page_token,
        )
        if not token:
            return found, pages


@pytest.mark.rule("SL13")
async def test_the_figures_of_a_period_under_another_policy_stand_beside_those_recorded_and_nothing_is_written(
    stub: Any, others: Elsewhere
) -> None:
    pairs = [Pair() for _ in range(3)]
    for pair in pairs:
        pair.therapist = pairs[0].therapist
    told = [
        said
        for pair in pairs
        for said in (pair.writes("client", 0), pair.writes("therapist", 5), pair.writes("client", 6))
    ]
    told += [pairs[0].writes("therapist", 6.5)]
    straight_away = Pair()
    straight_away.therapist = pairs[0].therapist
    told += [straight_away.writes("client", 0), straight_away.reports(3, fresh())]
    await reached(stub, await others.says(told))

    asked = {"therapist_id": pairs[0].therapist, "as_of": timestamp(hour(10)), "opened_before": timestamp(hour(9))}
    before = await stub.GetFigures(GetFiguresRequest(**asked))
    head = (await stub.GetProgress(GetProgressRequest())).head
    found = await stub.GetFiguresUnderPolicy(GetFiguresUnderPolicyRequest(**asked, policy=policy("", None)))
    assert (found.recorded.first, found.recorded.next, found.recorded.all) == (before.first, before.next, before.all)
    assert (before.all.closed_within_target, before.all.open_past_target, before.all.excluded) == (4, 0, 1)
    under = found.under_policy.all
    assert (under.closed_within_target, under.open_past_target, under.excluded, under.voided) == (1, 2, 0, 1)
    assert under.opened == before.all.opened
    assert under.comparable
    same = await stub.GetFiguresUnderPolicy(GetFiguresUnderPolicyRequest(**asked, policy_version="default"))
    assert same.under_policy == same.recorded
    assert (await stub.GetProgress(GetProgressRequest())).head == head
    assert (await stub.GetFigures(GetFiguresRequest(**asked))).all == before.all

    unknown = GetFiguresUnderPolicyRequest(**asked, policy_version="never-set")
    assert await refused(stub.GetFiguresUnderPolicy(unknown)) == ("NOT_FOUND", "POLICY_UNKNOWN", "policy_version")
    none = GetFiguresUnderPolicyRequest(**asked)
    assert await refused(stub.GetFiguresUnderPolicy(none)) == ("INVALID_ARGUMENT", "FIELD_MISSING", "policy")
    none.policy.first_response_target_seconds = 1
    assert await refused(stub.GetFiguresUnderPolicy(none)) == (
        "INVALID_ARGUMENT",
        "FIELD_MISSING",
        "policy.next_response_target_seconds",
    )


@pytest.mark.rule("SL15")
async def test_a_therapist_says_that_no_reply_is_owed_and_the_wait_comes_back_when_the_client_asks_again(
    process: ServiceProcess, stub: Any, others: Elsewhere
) -> None:
    pair, now = Pair(), (datetime.now(UTC) - ORIGIN) / timedelta(hours=1)
    await reached(stub, await others.says([pair.writes("client", now - 9)]))
    said = DeclareNoReplyOwedRequest(
        request_id=fresh(),
        therapist_id=pair.therapist,
        conversation_id=pair.conversation,
        opening_sequence=1,
        last_message_sequence=1,
    )
    async with process.channel("response_sla.declare", subject=pair.client, kind="person") as channel:
        client = ResponseSlaServiceStub(channel)
        assert (await refused(client.DeclareNoReplyOwed(said)))[1] == "PERSON_NOT_YOURS"
        said.therapist_id = pair.client
        assert await refused(client.DeclareNoReplyOwed(said)) == ("NOT_FOUND", "NOT_FOUND", "conversation_id")
        said.therapist_id = pair.therapist
    async with process.channel("response_sla.declare", subject=pair.therapist, kind="person") as channel:
        therapist = ResponseSlaServiceStub(channel)
        done = await therapist.DeclareNoReplyOwed(said)
        assert await therapist.DeclareNoReplyOwed(said) == done
        far = DeclareNoReplyOwedRequest(request_id=fresh(), therapist_id=pair.therapist, conversation_id="none")
        far.opening_sequence = 2**64 - 1
        assert (await refused(therapist.DeclareNoReplyOwed(far)))[1:] == ("FIELD_MALFORMED", "opening_sequence")
    as_of = timestamp(hour(now + 30))
    async with asyncio.timeout(30):
        while not (found := (await figures(stub, pair.therapist, as_of=as_of)).all).not_owed:  # noqa: ASYNC110 - the API is asked
            await asyncio.sleep(0.1)
    assert (found.opened, found.open, found.open_past_target, found.count) == (1, 0, 0, 0)
    (wait,) = (await stub.ListWaits(ListWaitsRequest(therapist_id=pair.therapist, as_of=as_of))).waits
    assert wait.state == WAIT_STATE_NOT_OWED
    assert wait.returns_until.seconds - wait.ended_at.seconds == 7 * 24 * 3600

    await reached(stub, await others.says([pair.writes("client", now + 20), pair.writes("therapist", now + 21)]))
    (wait,) = (await stub.ListWaits(ListWaitsRequest(therapist_id=pair.therapist, as_of=as_of))).waits
    assert (wait.state, wait.response_ms) == (WAIT_STATE_CLOSED, 30 * HOUR_MS)
    as_of = timestamp(hour(now + 10))
    assert (await figures(stub, pair.therapist, as_of=as_of)).all.not_owed == 1


BAD = {
    "no therapist": ({"therapist_id": ""}, "FIELD_MISSING", "therapist_id"),
    "a malformed therapist": ({"therapist_id": "a b"}, "FIELD_MALFORMED", "therapist_id"),
    "an instant that is none": ({"as_of": {"nanos": -1}}, "FIELD_MALFORMED", "as_of"),
    "an instant before year 1": ({"known_on": {"seconds": -(2**62)}}, "FIELD_MALFORMED", "known_on"),
    "a window without an inside": (
        {"opened_from": timestamp(hour(1)), "opened_before": timestamp(hour(1))},
        "FIELD_MALFORMED",
        "opened_before",
    ),
    "a negative page size": ({"page_size": -1}, "FIELD_MALFORMED", "page_size"),
    "a token of nobody's": ({"page_token": "AAAA"}, "PAGE_TOKEN_INVALID", "page_token"),
    "an unknown kind": ({"kind": 9}, "FIELD_MALFORMED", "kind"),
}


@pytest.mark.parametrize("bad", BAD)
async def test_a_bad_request_is_refused_with_its_field(stub: Any, bad: str) -> None:
    fields, reason, field = BAD[bad]
    request = ListWaitsRequest(**{"therapist_id": "therapist-1", **fields})
    assert await refused(stub.ListWaits(request)) == ("INVALID_ARGUMENT", reason, field)


@pytest.mark.rule("SL6", "PL2")
async def test_another_process_rebuilds_the_figures_from_the_facts_to_the_same_digest(
    stub: Any, others: Elsewhere, module_database_url: str
) -> None:
    pairs = [Pair() for _ in range(40)]
    told = [said for n, pair in enumerate(pairs) for said in eventful(pair, n)]
    await reached(stub, await others.says(random.Random(1).sample(told, len(told))))
    before = await figures(stub, pairs[0].therapist)
    await prepare(module_database_url)  # A copied database does not have the grants of the one it was copied from.
    rebuilt = await rebuild(
        module_database_url, "response_sla", READ_MODEL, RESPONSE_SLA.own_facts, lambda position, head: None
    )
    assert rebuilt.rebuilt_digest == rebuilt.live_digest
    assert rebuilt.position >= before.basis.position
    after = await figures(stub, pairs[0].therapist)
    assert (after.first, after.next, after.all) == (before.first, before.next, before.all)
    await reached(stub, await others.says([pairs[0].writes("client", 900)]))  # The projection goes on in the new rows.


@pytest.mark.slow
@pytest.mark.skipif(not TRACE.is_file(), reason="HOLDSPACE_TRACE names no file")
@pytest.mark.timeout(1_800)
@pytest.mark.rule("SL9", "SL14", "PL6")
async def test_a_real_trace_gives_the_figures_of_the_straight_line(messaging: ServiceProcess, stub: Any) -> None:
    name = secrets.token_hex(4)
    lines = [(f"{name}-{sender}", f"{name}-{receiver}", at) for sender, receiver, at in straight_line.read(TRACE)]
    await reached(stub, await bring(messaging, lines), seconds=1_500)
    listed, _ = await every_page(stub.ListFigures, ListFiguresRequest(page_size=100), "therapists")
    ours = {each.therapist_id: as_straight_line(each) for each in listed if each.therapist_id.startswith(name)}
    assert ours == straight_line.figures(lines)
