"""Every metric of response-SLA beyond the kernel's, with its type and meaning."""

from collections.abc import Callable, Sequence
from datetime import datetime

from prometheus_client import Gauge, Histogram

from holdspace.response_sla.v1.private_pb2 import (
    VOID_REASON_SUSPENSION,
    VOID_REASON_THERAPIST_SUSPENSION,
    StandingNoted,
    WaitVoided,
)
from kernel.facts import instant
from kernel.metrics import ENFORCED_SECONDS, Metrics
from kernel.own_facts import OwnFact
from kernel.reactions import OnOwn
from kernel.routes import Command


class ResponseMetrics:
    def __init__(self, kernel: Metrics) -> None:
        self._kernel = kernel
        self._voided_seconds = Histogram(
            "holdspace_suspension_to_void_seconds",
            "Time from the decision to suspend or ban a person to the commit that voids a wait of theirs.",
            buckets=ENFORCED_SECONDS,
            registry=kernel.registry,
        )
        self._figures_age = Gauge(
            "holdspace_figures_age_seconds",
            "Age of the latest instant up to which the figures are complete; not a number while there is none.",
            registry=kernel.registry,
        )

    def watch_figures_age(self, seconds: Callable[[], float]) -> None:
        """Takes what tells the age; it is asked at every scrape, from another thread."""
        self._figures_age.set_function(seconds)

    def measures(self) -> list[OnOwn]:
        """Reactions to our own facts that have no effect but on a metric: both clocks are those of stores."""
        return [OnOwn("measure", StandingNoted, self._standing), OnOwn("measure", WaitVoided, self._void)]

    async def _standing(self, fact: OwnFact, now: datetime) -> Sequence[Command]:
        self._kernel.enforced((fact.recorded_at - instant(fact.payload.decided_at)).total_seconds())
        return []

    async def _void(self, fact: OwnFact, now: datetime) -> Sequence[Command]:
        void = fact.payload.wait.void
        if void.reason in (VOID_REASON_SUSPENSION, VOID_REASON_THERAPIST_SUSPENSION):
            self._voided_seconds.observe((fact.recorded_at - instant(void.at)).total_seconds())
        return []
