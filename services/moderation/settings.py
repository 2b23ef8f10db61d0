"""What moderation is told by its environment."""

from pydantic import field_validator

from kernel.settings import ServiceSettings
from services.moderation.domain.policy import DEFAULT, POLICIES, Policy


class Settings(ServiceSettings):
    suspension_policy: str = DEFAULT.version  # by which reports lead to measures

    @property
    def policy(self) -> Policy:
        return POLICIES[self.suspension_policy]

    @field_validator("suspension_policy")
    @classmethod
    def _is_known(cls, version: str) -> str:
        if version not in POLICIES:
            raise ValueError(f"must be one of {', '.join(POLICIES)}")
        return version
