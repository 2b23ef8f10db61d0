"""Constructs response-SLA from its settings."""

from collections.abc import Collection, Sequence
from pathlib import Path

from holdspace.kernel.v1 import gate_pb2
from holdspace.messaging.v1 import events_pb2 as messaging_events_pb2
from holdspace.moderation.v1 import events_pb2 as moderation_events_pb2
from holdspace.response_sla.v1 import private_pb2, service_pb2_grpc
from kernel.facts import FactTypes
from kernel.metrics import Metrics
from kernel.process import MIGRATE, Role
from kernel.service import Definition, ForeignFacts, Migrating, Work, open_parts
from services.response_sla.api import ResponseSlaApi
from services.response_sla.app import ROUTES
from services.response_sla.completeness import Completeness
from services.response_sla.metrics import ResponseMetrics
from services.response_sla.projections import READ_MODEL
from services.response_sla.reactions import CONSUMERS, FACTS, IGNORED, LANES, facts, lanes, own_reactions
from services.response_sla.settings import Settings

RESPONSE_SLA = Definition(
    name="response_sla",
    routes=ROUTES,
    own_facts=FactTypes(gate_pb2, private_pb2),
    foreign_facts=FactTypes(messaging_events_pb2, moderation_events_pb2),
    read_model=READ_MODEL,
    queries=Path(__file__).parent / "queries.sql",
    gates_consumer=LANES,
)


async def wire(settings: Settings, metrics: Metrics, roles: Collection[str]) -> Sequence[Role]:
    """Raises StoreUnavailable while the database cannot be used. It publishes no facts: the role relay has nothing."""
    if MIGRATE in roles:
        return [Migrating(RESPONSE_SLA, settings)]
    asked = frozenset(roles) - {"relay"}
    parts = await open_parts(RESPONSE_SLA, settings, metrics)
    own_metrics = ResponseMetrics(metrics)
    completeness = Completeness(
        parts.queries, parts.store, parts.clock, CONSUMERS, poll_seconds=settings.completeness_poll_seconds
    )
    api = ResponseSlaApi(parts.path, parts.queries, parts.reads, parts.pages, parts.store, completeness, parts.clock)
    work = Work(
        api=[(service_pb2_grpc.add_ResponseSlaServiceServicer_to_server, api)],
        own_reactions=[*own_reactions(parts.queries), *own_metrics.measures()],
        foreign=[ForeignFacts(FACTS, facts(), IGNORED), ForeignFacts(LANES, lanes(), lane=True)],
    )
    running = parts.roles(asked, work)
    if "api" in asked:
        own_metrics.watch_figures_age(completeness.age_seconds)
        running.append(completeness)
    return running
