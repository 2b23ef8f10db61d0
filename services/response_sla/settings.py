"""What response-SLA is told by its environment: the numbers of the response rules, each with its unit."""

from datetime import timedelta

from kernel.settings import Limit, Seconds, ServiceSettings
from services.response_sla.domain.policy import Policy


class Settings(ServiceSettings):
    first_response_target_hours: Limit = 24  # also how soon a report must be made to exclude a client
    next_response_target_hours: Limit = 24
    undecided_report_days: Limit = 7  # then a report counts as dismissed for waits opened later
    comparable_sample_min: Limit = 10  # closed waits; a figure of fewer is not to be compared with others
    completeness_poll_seconds: Seconds = 0.5  # how often a process looks how far the figures are complete

    @property
    def policy(self) -> Policy:
        return Policy(
            first_target=timedelta(hours=self.first_response_target_hours),
            next_target=timedelta(hours=self.next_response_target_hours),
            undecided_max=timedelta(days=self.undecided_report_days),
            sample_min=self.comparable_sample_min,
        )
