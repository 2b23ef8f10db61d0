"""What moderation said about one person, kept in the stream `person-<person_id>`."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from holdspace.response_sla.v1 import private_pb2 as facts
from kernel.decision import Decision
from kernel.facts import instant, timestamp
from kernel.gates import phases, spans_of
from services.response_sla.domain.inputs import FiledReport, PersonInput, ReportDecision, Source, StandingChange


@dataclass(frozen=True, slots=True)
class NoteAboutPerson:
    person_id: str
    told: PersonInput
    now: datetime


Fact = facts.ReportNoted | facts.DecisionNoted | facts.StandingNoted


@dataclass(frozen=True, slots=True)
class Person:
    """`inputs`: one for each fact of the stream, in the order they were noted. `latest`: the latest of their times."""

    inputs: tuple[PersonInput, ...] = ()
    latest: datetime | None = None

    def has(self, told: PersonInput) -> bool:
        return any((known.fact_id, known.source) == (told.fact_id, told.source) for known in self.inputs)


def person_stream(person_id: str) -> str:
    return f"person-{person_id}"


def decide(command: NoteAboutPerson, person: Person) -> Decision:
    return Decision() if person.has(command.told) else Decision([_noted(command.person_id, command.told)])


def evolve(person: Person, fact: Fact, at: datetime) -> Person:
    told = _input(fact)
    latest = told.at if person.latest is None else max(person.latest, told.at)
    return replace(person, inputs=(*person.inputs, told), latest=latest)


def _input(fact: Fact) -> PersonInput:
    source = Source(fact.source, fact.source_epoch)
    match fact:
        case facts.ReportNoted():
            return FiledReport(
                at=instant(fact.reported_at),
                version=fact.source_version,
                fact_id=fact.source_fact_id,
                report_id=fact.report_id,
                reporter_id=fact.reporter_id,
                conversation_id=fact.conversation_id,
                last_sequence=fact.last_message_sequence,
                source=source,
            )
        case facts.DecisionNoted():
            return ReportDecision(
                at=instant(fact.decided_at),
                version=fact.source_version,
                fact_id=fact.source_fact_id,
                report_id=fact.report_id,
                reporter_id=fact.reporter_id,
                finding=fact.finding,
                source=source,
            )
        case facts.StandingNoted():
            return StandingChange(
                at=instant(fact.decided_at),
                version=fact.source_version,
                fact_id=fact.source_fact_id,
                phases=spans_of(fact.phases),
                lifted=fact.lifted,
                report_ids=tuple(fact.report_ids),
                source=source,
            )
        case _:
            assert_never(fact)


def _noted(person_id: str, told: PersonInput) -> Fact:
    noted = _said(person_id, told)
    noted.source_fact_id, noted.source_version = told.fact_id, told.version
    noted.source, noted.source_epoch = told.source
    return noted


def _said(person_id: str, told: PersonInput) -> Fact:
    match told:
        case FiledReport():
            return facts.ReportNoted(
                person_id=person_id,
                reporter_id=told.reporter_id,
                report_id=told.report_id,
                reported_at=timestamp(told.at),
                conversation_id=told.conversation_id,
                last_message_sequence=told.last_sequence,
            )
        case ReportDecision():
            return facts.DecisionNoted(
                person_id=person_id,
                reporter_id=told.reporter_id,
                report_id=told.report_id,
                finding=told.finding,
                decided_at=timestamp(told.at),
            )
        case StandingChange():
            return facts.StandingNoted(
                person_id=person_id,
                phases=phases(told.phases),
                lifted=told.lifted,
                report_ids=told.report_ids,
                decided_at=timestamp(told.at),
            )
        case _:
            assert_never(told)
