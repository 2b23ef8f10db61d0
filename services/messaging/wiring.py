"""Constructs messaging from its settings."""

from collections.abc import Collection, Sequence
from pathlib import Path

from holdspace.kernel.v1 import gate_pb2
from holdspace.messaging.v1 import events_pb2, private_pb2, service_pb2_grpc
from holdspace.moderation.v1 import events_pb2 as moderation_events_pb2
from holdspace.scheduling.v1 import events_pb2 as scheduling_events_pb2
from kernel.facts import FactTypes
from kernel.grpc.streams import StreamLimits
from kernel.metrics import Metrics
from kernel.process import MIGRATE, Role
from kernel.service import Definition, ForeignFacts, Migrating, Work, open_parts
from services.messaging.api import MessagingApi
from services.messaging.app import ROUTES
from services.messaging.gap import Gaps
from services.messaging.importing import Importing
from services.messaging.messages import Messages
from services.messaging.projections import READ_MODEL
from services.messaging.reactions import LANES, REACTIONS, own_reactions
from services.messaging.sending import Sending
from services.messaging.settings import Settings

MESSAGING = Definition(
    name="messaging",
    routes=ROUTES,
    own_facts=FactTypes(gate_pb2, events_pb2, private_pb2),
    foreign_facts=FactTypes(moderation_events_pb2, scheduling_events_pb2),
    read_model=READ_MODEL,
    queries=Path(__file__).parent / "queries.sql",
    gates_consumer=LANES,
)


async def wire(settings: Settings, metrics: Metrics, roles: Collection[str]) -> Sequence[Role]:
    """Raises StoreUnavailable while the database cannot be used."""
    if MIGRATE in roles:
        return [Migrating(MESSAGING, settings)]
    parts = await open_parts(MESSAGING, settings, metrics)
    limits = StreamLimits(settings.stream_idle_seconds, settings.stream_age_seconds)
    sending = Sending(parts.path, parts.reads, parts.clock, parts.ids, limits)
    importing = Importing(parts.path, parts.reads, parts.clock, parts.ids)
    messages = Messages(parts.queries, MESSAGING.own_facts)
    api = MessagingApi(sending, importing, messages, parts.queries, parts.reads, parts.pages, parts.store)
    work = Work(
        api=[(service_pb2_grpc.add_MessagingServiceServicer_to_server, api)],
        own_reactions=own_reactions(parts.store, parts.queries, Gaps(parts.queries, MESSAGING.own_facts)),
        foreign=[ForeignFacts(LANES, REACTIONS, lane=True)],
    )
    return parts.roles(roles, work)
