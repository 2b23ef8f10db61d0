"""What moderation said about one person, kept in the stream `person-<person_id>`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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


@dataclass(frozen=True, slots=True)
class NoteRestated:
    """A restored source told the standing anew: above `version` it lost whatever earlier epochs told of it."""

    person_id: str
    source: Source
    version: int
    now: datetime


Noted = facts.ReportNoted | facts.DecisionNoted | facts.StandingNoted
Fact = Noted | facts.StandingRestated


@dataclass(frozen=True, slots=True)
class Person:
    """`inputs`: what was noted and not lost since, in that order. `latest`: the latest time of all that was noted.
    `facts`: how many the stream has. `restated`: by source, where each epoch after the first told the standing anew.
    """

    inputs: tuple[PersonInput, ...] = ()
    latest: datetime | None = None
    facts: int = 0
    restated: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    def has(self, told: PersonInput) -> bool:
        return any((known.fact_id, known.source) == (told.fact_id, told.source) for known in self.inputs)

    def lost(self, told: PersonInput) -> bool:
        """Says whether a later epoch of its source told the standing anew from before it."""
        restated = self.restated.get(told.source.name, {})
        return isinstance(told, StandingChange) and any(
            epoch > told.source.epoch and told.version > version for epoch, version in restated.items()
        )


def person_stream(person_id: str) -> str:
    return f"person-{person_id}"


def decide(command: NoteAboutPerson, person: Person) -> Decision:
    return Decision() if person.has(command.told) else Decision([_noted(command.person_id, command.told)])


def decide_restated(command: NoteRestated, person: Person) -> Decision:
    """The first word of an epoch says what the ones before it lost; what comes after it is told as ever."""
    name, epoch = command.source
    if epoch in person.restated.get(name, {}):
        return Decision()
    restated = facts.StandingRestated(
        person_id=command.person_id, source=name, source_epoch=epoch, source_version=command.version
    )
    return Decision([restated])


def evolve(person: Person, fact: Fact, at: datetime) -> Person:
    person = replace(person, facts=person.facts + 1)
    match fact:
        case facts.StandingRestated():
            of_source = {**person.restated.get(fact.source, {}), fact.source_epoch: fact.source_version}
            return _without_lost(replace(person, restated={**person.restated, fact.source: of_source}))
        case _:
            told = _input(fact)
            latest = told.at if person.latest is None else max(person.latest, told.at)
            return _without_lost(replace(person, inputs=(*person.inputs, told), latest=latest))


def _without_lost(person: Person) -> Person:
    return replace(person, inputs=tuple(told for told in person.inputs if not person.lost(told)))


def _input(fact: Noted) -> PersonInput:
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


def _noted(person_id: str, told: PersonInput) -> Noted:
    noted = _said(person_id, told)
    noted.source_fact_id, noted.source_version = told.fact_id, told.version
    noted.source, noted.source_epoch = told.source
    return noted


def _said(person_id: str, told: PersonInput) -> Noted:
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
