"""Constructs age verification from its settings."""

from collections.abc import Collection, Sequence
from pathlib import Path

from holdspace.age_verification.v1 import events_pb2, private_pb2, service_pb2_grpc
from kernel.facts import FactTypes
from kernel.metrics import Metrics
from kernel.process import MIGRATE, Role
from kernel.service import Definition, Migrating, Work, open_parts
from services.age_verification.api import AgeVerificationApi
from services.age_verification.app import ROUTES
from services.age_verification.projections import READ_MODEL
from services.age_verification.providers import provider
from services.age_verification.settings import Settings

AGE_VERIFICATION = Definition(
    name="age_verification",
    routes=ROUTES,
    own_facts=FactTypes(events_pb2, private_pb2),
    foreign_facts=FactTypes(),
    read_model=READ_MODEL,
    queries=Path(__file__).parent / "queries.sql",
)


async def wire(settings: Settings, metrics: Metrics, roles: Collection[str]) -> Sequence[Role]:
    """Raises StoreUnavailable while the database cannot be used."""
    if MIGRATE in roles:
        return [Migrating(AGE_VERIFICATION, settings)]
    parts = await open_parts(AGE_VERIFICATION, settings, metrics)
    api = AgeVerificationApi(
        parts.path, provider(settings, parts.clock), parts.queries, parts.reads, settings.policy, parts.clock
    )
    return parts.roles(roles, Work(api=[(service_pb2_grpc.add_AgeVerificationServiceServicer_to_server, api)]))
