"""Made-up pasts of a conversation and its client, and the ways they can arrive: late, doubled, reordered, in parts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, cast

from hypothesis import strategies as st

from services.response_sla.domain import client_inputs, conversation_waits
from services.response_sla.domain.client_inputs import Client, NoteDecision, NoteReport, NoteStanding
from services.response_sla.domain.conversation_waits import Conversation, EvaluateConversation, NoteMessages
from services.response_sla.domain.inputs import ClientInput, FiledReport, ReportDecision, SentMessage, StandingChange
from services.response_sla.domain.wait import Parties
from tests.gates import told_spans
from tests.unit.response_sla.story import BAD_FAITH, DISMISSED, OTHER_THERAPIST, POLICY, THERAPIST, UPHELD, hour

T = TypeVar("T")
PARTIES = Parties("c1", "client", THERAPIST)
NOW = hour(1000)  # Decisions here come when they come; only the inputs' own times count.

hours = st.one_of(st.integers(0, 60), st.integers(0, 400))  # whole, so that many inputs share an instant
reports = st.sampled_from(["r1", "r2", "r3"])
REPORTERS = {"r1": THERAPIST, "r2": THERAPIST, "r3": OTHER_THERAPIST}


@dataclass(frozen=True)
class Past:
    messages: list[SentMessage]
    client_inputs: list[ClientInput]


@st.composite
def pasts(draw: st.DrawFn) -> Past:
    # Client or therapist, expects a reply, automatic: mostly what opens and ends a wait.
    flags = st.sampled_from(
        [(True, True, False)] * 3 + [(False, False, False)] * 3 + [(True, False, False), (False, False, True)]
    )
    sent = st.builds(lambda at, flags: SentMessage(hour(at), 0, "", *flags), hours, flags)
    told = sorted(draw(st.lists(sent, min_size=2, max_size=12)), key=lambda message: message.at)
    messages = [replace(message, sequence=n, fact_id=f"m{n}") for n, message in enumerate(told, 1)]
    said = draw(st.lists(_client_input(), max_size=6))
    unique = {item.report_id if isinstance(item, FiledReport) else n: item for n, item in enumerate(said)}
    return Past(messages, [replace(item, version=n, fact_id=f"f{n}") for n, item in enumerate(unique.values(), 1)])


def _client_input() -> st.SearchStrategy[ClientInput]:
    filed = st.builds(lambda at, report: FiledReport(hour(at), 0, "", report, REPORTERS[report]), hours, reports)
    findings = st.sampled_from([UPHELD, DISMISSED, BAD_FAITH])
    ruled = st.builds(
        lambda at, report, finding: ReportDecision(hour(at), 0, "", report, REPORTERS[report], finding),
        hours,
        reports,
        findings,
    )
    phases = st.builds(
        lambda first, until: told_spans((first, hour(until)), ("GOOD", None)),
        st.sampled_from(["SUSPENDED", "BRAKED", "BANNED", "GOOD"]),
        hours,
    )
    grounds = st.sampled_from([(), ("r1",), ("r1", "r3")])
    changed = st.builds(lambda at, *rest: StandingChange(hour(at), 0, "", *rest), hours, phases, st.booleans(), grounds)
    return st.one_of(filed, filed, ruled, changed)


def shuffled_and_doubled(draw: st.DrawFn, items: list[T]) -> list[T]:
    doubled = draw(st.lists(st.sampled_from(items), max_size=4)) if items else []
    return draw(st.permutations([*items, *doubled]))


class Arrivals:
    """The service's deciders on their two streams, fed by hand. `stated`: the facts of the conversation's stream."""

    def __init__(self) -> None:
        self.conversation = Conversation()
        self.client = Client()
        self.stated: list[conversation_waits.Fact] = []

    def messages(self, *messages: SentMessage) -> None:
        self._conversation(NoteMessages(PARTIES, messages, POLICY, NOW))

    def evaluation(self) -> None:
        self._conversation(EvaluateConversation(PARTIES.conversation_id, PARTIES.client_id, POLICY, NOW))

    def client_input(self, item: ClientInput) -> None:
        match item:
            case FiledReport():
                command: client_inputs.Command = NoteReport(PARTIES.client_id, item, NOW)
            case ReportDecision():
                command = NoteDecision(PARTIES.client_id, item, NOW)
            case StandingChange():
                command = NoteStanding(PARTIES.client_id, item, NOW)
        for fact in client_inputs.decide(command, self.client).facts:
            self.client = client_inputs.evolve(self.client, cast("client_inputs.Fact", fact), NOW)

    def _conversation(self, command: conversation_waits.Command) -> None:
        decision = conversation_waits.decide(command, self.conversation, client=self.client)
        for fact in cast("Sequence[conversation_waits.Fact]", decision.facts):
            self.conversation = conversation_waits.evolve(self.conversation, fact, NOW)
            self.stated.append(fact)
