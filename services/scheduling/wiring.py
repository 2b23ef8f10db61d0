"""Constructs scheduling from its settings."""

from collections.abc import Collection, Sequence
from pathlib import Path

from holdspace.age_verification.v1 import events_pb2 as age_events_pb2
from holdspace.kernel.v1 import gate_pb2
from holdspace.messaging.v1 import events_pb2 as messaging_events_pb2
from holdspace.moderation.v1 import events_pb2 as moderation_events_pb2
from holdspace.scheduling.v1 import events_pb2, private_pb2, service_pb2_grpc
from kernel.facts import FactTypes
from kernel.metrics import Metrics
from kernel.process import MIGRATE, Role
from kernel.service import Definition, ForeignFacts, Migrating, Work, open_parts
from services.scheduling.api import SchedulingApi
from services.scheduling.app import ROUTES
from services.scheduling.projections import READ_MODEL
from services.scheduling.reactions import IMPORTS, LANES, NO_IMPORTS, OF_IMPORTS, OF_LANES, TIMERS, own_reactions
from services.scheduling.settings import Settings

SCHEDULING = Definition(
    name="scheduling",
    routes=ROUTES,
    own_facts=FactTypes(gate_pb2, events_pb2, private_pb2),
    foreign_facts=FactTypes(moderation_events_pb2, age_events_pb2, messaging_events_pb2),
    read_model=READ_MODEL,
    queries=Path(__file__).parent / "queries.sql",
    gates_consumer=LANES,
)


async def wire(settings: Settings, metrics: Metrics, roles: Collection[str]) -> Sequence[Role]:
    """Raises StoreUnavailable while the database cannot be used."""
    if MIGRATE in roles:
        return [Migrating(SCHEDULING, settings)]
    parts = await open_parts(SCHEDULING, settings, metrics)
    api = SchedulingApi(parts.path, parts.queries, parts.reads, parts.pages, settings.policy, parts.clock, parts.ids)
    work = Work(
        api=[(service_pb2_grpc.add_SchedulingServiceServicer_to_server, api)],
        own_reactions=own_reactions(parts.store),
        timers=TIMERS,
        foreign=[ForeignFacts(LANES, OF_LANES, lane=True), ForeignFacts(IMPORTS, OF_IMPORTS, NO_IMPORTS)],
    )
    return parts.roles(roles, work)
