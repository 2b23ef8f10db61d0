from dataclasses import replace
from datetime import timedelta

import pytest

from kernel.errors import WrongSetting
from kernel.settings import load
from kernel.store.interface import RangeClaim
from services.scheduling.app import BOOKING
from services.scheduling.domain import booking as domain
from services.scheduling.domain.booking import HoldSlot
from services.scheduling.domain.policy import BookingPolicy
from services.scheduling.settings import Settings
from tests.sentences import START, Sentences
from tests.unit.scheduling.booked import ENDS, GOOD, STARTS, WORKS

ENVIRONMENT = {
    "HOLDSPACE_ENVIRONMENT": "local",
    "HOLDSPACE_DATABASE_URL": "postgresql://db/holdspace",
    "HOLDSPACE_KAFKA": "kafka:9092",
    "HOLDSPACE_CELL": "main",
    "HOLDSPACE_JWKS": "https://issuer.example/jwks",
    "HOLDSPACE_ISSUER": "https://issuer.example",
    "HOLDSPACE_AUDIENCE": "holdspace",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.mark.rule("SC4")
def test_a_practice_may_do_without_a_buffer_and_start_no_session_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDSPACE_BUFFER_MINUTES", "0")
    monkeypatch.setenv("HOLDSPACE_START_EARLY_MINUTES", "0")
    policy = load(Settings).policy
    assert (policy.buffer, policy.start_early) == (timedelta(0), timedelta(0))
    hold = HoldSlot("b", "c", "t", STARTS, ENDS, replace(policy, hold_for=timedelta(minutes=1)), START)
    decision = Sentences(BOOKING, domain.hold).given().when(hold, WORKS, GOOD, GOOD).decision()
    times = {claim.resource: (claim.start, claim.end) for claim in decision.claims if isinstance(claim, RangeClaim)}
    assert times["person/t"] == times["person/c"] == (STARTS, ENDS)


@pytest.mark.parametrize("minutes", ["-1", "1441"])
def test_a_buffer_that_is_no_time_within_a_day_is_refused(monkeypatch: pytest.MonkeyPatch, minutes: str) -> None:
    monkeypatch.setenv("HOLDSPACE_BUFFER_MINUTES", minutes)
    with pytest.raises(WrongSetting, match="HOLDSPACE_BUFFER_MINUTES"):
        load(Settings)


def test_a_practice_that_sets_no_numbers_books_by_these() -> None:
    assert BookingPolicy() == BookingPolicy(
        hold_for=timedelta(minutes=10),
        shortest=timedelta(minutes=15),
        longest=timedelta(hours=4),
        furthest=timedelta(days=366),
        buffer=timedelta(minutes=10),
        start_early=timedelta(minutes=10),
    )
