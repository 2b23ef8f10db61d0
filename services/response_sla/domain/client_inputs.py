"""What moderation said about one client, kept in the stream `client-<client_id>`."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from holdspace.response_sla.v1 import private_pb2 as facts
from kernel.decision import Decision
from kernel.facts import instant, timestamp
from kernel.gates import phases, spans_of
from services.response_sla.domain.inputs import ClientInput, FiledReport, ReportDecision, StandingChange, order


@dataclass(frozen=True, slots=True)
class NoteReport:
    client_id: str
    report: FiledReport
    now: datetime


@dataclass(frozen=True, slots=True)
class NoteDecision:
    client_id: str
    decision: ReportDecision
    now: datetime


@dataclass(frozen=True, slots=True)
class NoteStanding:
    client_id: str
    change: StandingChange
    now: datetime


Command = NoteReport | NoteDecision | NoteStanding
Fact = facts.ReportNoted | facts.DecisionNoted | facts.StandingNoted


@dataclass(frozen=True, slots=True)
class Client:
    """`inputs` in order of their own times, one for each fact of the stream."""

    inputs: tuple[ClientInput, ...] = ()

    def has(self, noted: ClientInput) -> bool:
        return any(known.fact_id == noted.fact_id for known in self.inputs)


def client_stream(client_id: str) -> str:
    return f"client-{client_id}"


def decide(command: Command, client: Client) -> Decision:
    match command:
        case NoteReport():
            return Decision() if client.has(command.report) else Decision([_report_noted(command)])
        case NoteDecision():
            return Decision() if client.has(command.decision) else Decision([_decision_noted(command)])
        case NoteStanding():
            return Decision() if client.has(command.change) else Decision([_standing_noted(command)])
        case _:
            assert_never(command)


def evolve(client: Client, fact: Fact, at: datetime) -> Client:
    return replace(client, inputs=tuple(sorted((*client.inputs, _input(fact)), key=order)))


def _input(fact: Fact) -> ClientInput:
    match fact:
        case facts.ReportNoted():
            return FiledReport(
                instant(fact.reported_at), fact.source_version, fact.source_fact_id, fact.report_id, fact.reporter_id
            )
        case facts.DecisionNoted():
            return ReportDecision(
                instant(fact.decided_at),
                fact.source_version,
                fact.source_fact_id,
                fact.report_id,
                fact.reporter_id,
                fact.finding,
            )
        case facts.StandingNoted():
            return StandingChange(
                instant(fact.decided_at),
                fact.source_version,
                fact.source_fact_id,
                spans_of(fact.phases),
                fact.lifted,
                tuple(fact.report_ids),
            )
        case _:
            assert_never(fact)


def _report_noted(command: NoteReport) -> facts.ReportNoted:
    return facts.ReportNoted(
        client_id=command.client_id,
        reporter_id=command.report.reporter_id,
        report_id=command.report.report_id,
        reported_at=timestamp(command.report.at),
        source_fact_id=command.report.fact_id,
        source_version=command.report.version,
    )


def _decision_noted(command: NoteDecision) -> facts.DecisionNoted:
    return facts.DecisionNoted(
        client_id=command.client_id,
        reporter_id=command.decision.reporter_id,
        report_id=command.decision.report_id,
        finding=command.decision.finding,
        decided_at=timestamp(command.decision.at),
        source_fact_id=command.decision.fact_id,
        source_version=command.decision.version,
    )


def _standing_noted(command: NoteStanding) -> facts.StandingNoted:
    return facts.StandingNoted(
        client_id=command.client_id,
        phases=phases(command.change.phases),
        lifted=command.change.lifted,
        report_ids=command.change.report_ids,
        decided_at=timestamp(command.change.at),
        source_fact_id=command.change.fact_id,
        source_version=command.change.version,
    )
