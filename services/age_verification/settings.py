"""What age verification is told by its environment."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from holdspace.age_verification.v1.events_pb2 import AssuranceLevel
from kernel.settings import Limit, ServiceSettings
from services.age_verification.domain.policy import AgePolicy

LOCAL_AGE_ISSUER = "https://age.local.holdspace.test"
"""Issuer of the test provider's tokens. Anyone can make them, so only a local service takes them."""

Text = Annotated[str, Field(min_length=1)]


class Settings(ServiceSettings):
    age_issuer: Text  # the provider, as its tokens name it
    age_audience: Text  # us, as its tokens name us
    age_jwks: Text  # its public keys: path of a file, or http(s) URL
    age_level_min: Literal["LOW", "SUBSTANTIAL", "HIGH"] = "SUBSTANTIAL"  # for an assurance
    age_unreadable_max: Limit = 3  # attempts whose evidence cannot be made out ...
    age_unreadable_rest_hours: Limit = 24  # ... in this time

    @property
    def policy(self) -> AgePolicy:
        return AgePolicy(
            level_min=AssuranceLevel.Value(f"ASSURANCE_LEVEL_{self.age_level_min}"),
            unreadable_max=self.age_unreadable_max,
            unreadable_rest=timedelta(hours=self.age_unreadable_rest_hours),
        )

    @field_validator("age_issuer")
    @classmethod
    def _is_no_test_provider(cls, issuer: str, read: ValidationInfo) -> str:
        if issuer.rstrip("/") == LOCAL_AGE_ISSUER and read.data.get("environment") != "local":
            raise ValueError("is the local test provider, which only HOLDSPACE_ENVIRONMENT=local trusts")
        return issuer
