"""Constructs moderation from its settings."""

from collections.abc import Collection, Sequence
from pathlib import Path

from holdspace.kernel.v1 import gate_pb2
from holdspace.messaging.v1 import events_pb2 as messaging_events_pb2
from holdspace.moderation.v1 import events_pb2, private_pb2, service_pb2_grpc
from holdspace.scheduling.v1 import events_pb2 as scheduling_events_pb2
from kernel.facts import FactTypes
from kernel.metrics import Metrics
from kernel.process import MIGRATE, Role
from kernel.service import Definition, ForeignFacts, Migrating, Work, open_parts
from services.moderation.api import ModerationApi
from services.moderation.app import ROUTES
from services.moderation.projections import READ_MODEL
from services.moderation.reactions import (
    BOOKINGS,
    CONTACTS,
    ENROLMENTS,
    FIRST_CONTACTS,
    LANES,
    LOSSES,
    NO_CONTACTS,
    NO_LOSSES,
    own_reactions,
    timers,
)
from services.moderation.settings import Settings

MODERATION = Definition(
    name="moderation",
    routes=ROUTES,
    own_facts=FactTypes(gate_pb2, events_pb2, private_pb2),
    foreign_facts=FactTypes(messaging_events_pb2, scheduling_events_pb2),
    read_model=READ_MODEL,
    queries=Path(__file__).parent / "queries.sql",
    gates_consumer=LANES,
)


async def wire(settings: Settings, metrics: Metrics, roles: Collection[str]) -> Sequence[Role]:
    """Raises StoreUnavailable while the database cannot be used."""
    if MIGRATE in roles:
        return [Migrating(MODERATION, settings)]
    parts = await open_parts(MODERATION, settings, metrics)
    api = ModerationApi(parts.path, parts.queries, parts.reads, parts.pages, parts.clock, settings.policy)
    work = Work(
        api=[(service_pb2_grpc.add_ModerationServiceServicer_to_server, api)],
        own_reactions=own_reactions(parts.path, settings.policy),
        timers=timers(settings.policy),
        foreign=[
            ForeignFacts(LANES, ENROLMENTS, lane=True),
            ForeignFacts(CONTACTS, FIRST_CONTACTS, NO_CONTACTS),
            ForeignFacts(BOOKINGS, LOSSES, NO_LOSSES),
        ],
    )
    return parts.roles(roles, work)
