"""Made-up pasts of a conversation and its client, and the ways they can arrive: late, doubled, reordered, in parts."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

from hypothesis import strategies as st

from services.response_sla.domain import client_inputs, conversation, conversation_waits
from services.response_sla.domain.client_inputs import NoteAboutPerson, Person
from services.response_sla.domain.conversation import Conversation
from services.response_sla.domain.conversation_waits import DeclareNoReplyOwed, EvaluateConversation, NoteMessages
from services.response_sla.domain.inputs import (
    FiledReport,
    NoReplyOwed,
    PersonInput,
    ReportDecision,
    SentMessage,
    StandingChange,
)
from services.response_sla.domain.timeline import Inputs
from tests.gates import told_spans
from tests.unit.response_sla.story import (
    BAD_FAITH,
    DISMISSED,
    OTHER_THERAPIST,
    PARTIES,
    POLICIES,
    THERAPIST,
    UPHELD,
    hour,
)

T = TypeVar("T")
NOW = hour(1000)  # Decisions here come when they come; only the inputs' own times count.

hours = st.one_of(st.integers(0, 60), st.integers(0, 400))  # whole, so that many inputs share an instant
reports = st.sampled_from(["r1", "r2", "r3"])
REPORTERS = {"r1": THERAPIST, "r2": THERAPIST, "r3": OTHER_THERAPIST}


@dataclass(frozen=True)
class Past:
    messages: list[SentMessage]
    client_inputs: list[PersonInput]
    therapist_inputs: list[PersonInput]
    not_owed: list[NoReplyOwed] = field(default_factory=list)

    @property
    def inputs(self) -> Inputs:
        return Inputs(self.messages, self.client_inputs, self.therapist_inputs, self.not_owed)


@st.composite
def pasts(draw: st.DrawFn) -> Past:
    # Client or therapist, expects a reply, automatic: mostly what opens and ends a wait.
    flags = st.sampled_from(
        [(True, True, False)] * 3 + [(False, False, False)] * 3 + [(True, False, False), (False, False, True)]
    )
    sent = st.builds(lambda at, flags: SentMessage(hour(at), 0, "", *flags), hours, flags)
    told = sorted(draw(st.lists(sent, min_size=2, max_size=12)), key=lambda message: message.at)
    imported = draw(st.integers(0, len(told)))
    messages = [replace(message, sequence=n, fact_id=f"m{n}") for n, message in enumerate(told, 1)]
    messages = [replace(message, imported=message.sequence <= imported) for message in messages]
    said = draw(st.lists(_client_input(), max_size=6))
    unique = {item.report_id if isinstance(item, FiledReport) else n: item for n, item in enumerate(said)}
    about_client = [replace(item, version=n, fact_id=f"f{n}") for n, item in enumerate(unique.values(), 1)]
    changes = draw(st.lists(_standing(), max_size=2))
    about_therapist = [replace(item, version=n, fact_id=f"t{n}") for n, item in enumerate(changes, 1)]
    return Past(messages, about_client, list(about_therapist))


def _client_input() -> st.SearchStrategy[PersonInput]:
    known = st.sampled_from([("", 0), ("", 0), ("c1", 1), ("c1", 2), ("c1", 5)])
    filed = st.builds(
        lambda at, report, known: FiledReport(hour(at), 0, "", report, REPORTERS[report], *known),
        hours,
        reports,
        known,
    )
    findings = st.sampled_from([UPHELD, DISMISSED, BAD_FAITH])
    ruled = st.builds(
        lambda at, report, finding: ReportDecision(hour(at), 0, "", report, REPORTERS[report], finding),
        hours,
        reports,
        findings,
    )
    return st.one_of(filed, filed, ruled, _standing())


def _standing() -> st.SearchStrategy[StandingChange]:
    phases = st.builds(
        lambda first, until: told_spans((first, hour(until)), ("GOOD", None)),
        st.sampled_from(["SUSPENDED", "BRAKED", "BANNED", "GOOD"]),
        hours,
    )
    grounds = st.sampled_from([(), ("r1",), ("r1", "r3")])
    return st.builds(lambda at, *rest: StandingChange(hour(at), 0, "", *rest), hours, phases, st.booleans(), grounds)


def shuffled_and_doubled(draw: st.DrawFn, items: list[T]) -> list[T]:
    doubled = draw(st.lists(st.sampled_from(items), max_size=4)) if items else []
    return draw(st.permutations([*items, *doubled]))


class Arrivals:
    """The service's deciders on their streams, fed by hand. `stated`: the facts of the conversation's stream."""

    def __init__(self) -> None:
        self.conversation = Conversation()
        self.client = Person()
        self.therapist = Person()
        self.stated: list[conversation.Fact] = []

    def messages(self, *messages: SentMessage) -> None:
        self._conversation(NoteMessages(PARTIES, messages, NOW))

    def evaluation(self) -> None:
        self._conversation(EvaluateConversation(PARTIES, NOW))

    def no_reply_owed(self, opening_sequence: int, at: float, knowing: int = 0, **other: str) -> None:
        names = {"conversation_id": "c1", "client_id": "client", "therapist_id": THERAPIST, **other}
        said = DeclareNoReplyOwed(**names, opening_sequence=opening_sequence, last_sequence=knowing, now=hour(at))
        self._conversation(said)

    def client_input(self, item: PersonInput) -> None:
        self.client = self._noted(PARTIES.client_id, item, self.client)

    def therapist_input(self, item: PersonInput) -> None:
        self.therapist = self._noted(PARTIES.therapist_id, item, self.therapist)

    def _noted(self, person_id: str, item: PersonInput, person: Person) -> Person:
        for fact in client_inputs.decide(NoteAboutPerson(person_id, item, NOW), person).facts:
            person = client_inputs.evolve(person, cast("client_inputs.Fact", fact), NOW)
        return person

    def _conversation(self, command: conversation_waits.Command) -> None:
        decision = conversation_waits.decide(
            command, self.conversation, client=self.client, therapist=self.therapist, policies=POLICIES
        )
        for fact in cast("Sequence[conversation.Fact]", decision.facts):
            self.conversation = conversation.evolve(self.conversation, fact, NOW)
            self.stated.append(fact)
