"""Tokens of three kinds: those that say who calls, those of a list's pages, and those of a revision."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from google.protobuf.message import Message
from hypothesis import given, strategies
from hypothesis import settings as hypothesis_settings
from jwt import PyJWS, encode
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, RSAAlgorithm

from holdspace.kernel.v1 import tokens_pb2
from kernel.clock import ManualClock
from kernel.errors import Rejected
from kernel.grpc import auth, jwks, paging
from kernel.grpc.auth import Authenticator
from kernel.grpc.jwks import Keys
from kernel.grpc.opaque import seal
from kernel.grpc.paging import Page, Pages
from kernel.grpc.revision import Revision, at_least
from tests.unit.kernel.diary import AUDIENCE, ISSUER, NOW, Issuer, diary_pb2, rejection

LEEWAY = timedelta(seconds=10)


class JwksServer:
    """An issuer's JWKS over HTTP, which counts how often it is asked and can be made to fail."""

    def __init__(self, body: str) -> None:
        self.body = body
        self.status = 200
        self.asked = 0
        self.url = ""

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        return web.Response(text=self.body, status=self.status, content_type="application/json")


@asynccontextmanager
async def jwks_server(body: str) -> AsyncIterator[JwksServer]:
    it = JwksServer(body)
    app = web.Application()
    app.router.add_get("/jwks", it.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    it.url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks"
    try:
        yield it
    finally:
        await runner.cleanup()


def authenticator(source: str, clock: ManualClock) -> Authenticator:
    return Authenticator(Keys(source, clock), clock, issuer=ISSUER, audience=AUDIENCE, leeway=LEEWAY)


async def is_trusted(by: Authenticator, token: str) -> bool:
    return await refusal_of(by, token) == ""


async def refusal_of(by: Authenticator, token: str) -> str:
    """Returns the reason that the token is refused with; empty when it is taken."""
    try:
        await by.caller(f"Bearer {token}")
    except Rejected as rejected:
        return rejected.reason
    return ""


async def test_a_new_key_is_found_within_three_seconds_whatever_ids_others_make_up() -> None:
    old, new, clock = Issuer("k1"), Issuer("k2"), ManualClock(NOW)
    async with jwks_server(old.jwks()) as server:
        keys = authenticator(server.url, clock)
        await keys.load()
        for number in range(300):  # 30 s of ids that nobody has
            clock.advance(timedelta(seconds=0.1))
            assert await refusal_of(keys, Issuer(f"made-up-{number}").token()) == "TOKEN_INVALID"
        assert server.asked <= 12
        server.body = old.jwks(new)
        for number in range(31):
            clock.advance(timedelta(seconds=0.1))
            assert not await is_trusted(keys, Issuer(f"later-{number}").token())
        assert await is_trusted(keys, new.token())
        assert len(keys._keys._unknown) <= jwks.UNKNOWN_IDS_MAX


async def test_an_id_that_the_issuer_does_not_have_is_asked_for_every_ten_seconds() -> None:
    issuer, clock = Issuer("k1"), ManualClock(NOW)
    async with jwks_server(issuer.jwks()) as server:
        keys = authenticator(server.url, clock)
        await keys.load()
        for _ in range(60):
            clock.advance(timedelta(seconds=1))
            assert not await is_trusted(keys, Issuer("gone").token())
        assert 5 <= server.asked <= 8


async def test_keys_without_an_id_are_tried_by_their_algorithm(tmp_path: Path) -> None:
    one, other, third, path = Issuer(), Issuer(), Issuer(), tmp_path / "jwks"
    path.write_text(json.dumps({"keys": [{k: v for k, v in i.jwk.items() if k != "kid"} for i in (one, other)]}))
    keys = authenticator(str(path), ManualClock(NOW))
    await keys.load()
    trusted = [await is_trusted(keys, issuer.token()) for issuer in (one, other, third)]
    assert trusted == [True, True, False]
    path.write_text(one.jwks())
    named = authenticator(str(path), ManualClock(NOW))
    await named.load()
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "web", "kind": "service", "iat": NOW.timestamp()}
    assert await is_trusted(named, encode(claims | {"exp": NOW.timestamp() + 60}, one.key, "EdDSA"))


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": -9}, ""),
        ({"exp": -10}, "TOKEN_EXPIRED"),
        ({"iat": 10}, ""),
        ({"iat": 11}, "TOKEN_NOT_YET_VALID"),
        ({"nbf": 10}, ""),
        ({"nbf": 11}, "TOKEN_NOT_YET_VALID"),
        ({"exp": None}, "TOKEN_INVALID"),
    ],
    ids=str,
)
async def test_tokens_are_taken_ten_seconds_before_and_after_their_time(
    tmp_path: Path, claims: dict[str, int | None], reason: str
) -> None:
    issuer, path = Issuer(), tmp_path / "jwks"
    path.write_text(issuer.jwks())
    keys = authenticator(str(path), ManualClock(NOW))
    await keys.load()
    shifted = {name: seconds if seconds is None else NOW.timestamp() + seconds for name, seconds in claims.items()}
    assert await refusal_of(keys, issuer.token(**shifted)) == reason


async def test_a_token_that_is_too_long_is_told_so(tmp_path: Path) -> None:
    issuer, path = Issuer(), tmp_path / "jwks"
    path.write_text(issuer.jwks())
    keys = authenticator(str(path), ManualClock(NOW))
    await keys.load()
    assert await refusal_of(keys, issuer.token(scope="x" * 5_000)) == "TOKEN_TOO_LARGE"


WORDS = strategies.text(max_size=9)
JSON = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.floats() | strategies.integers() | WORDS,
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
NAMES = strategies.sampled_from(["iss", "aud", "sub", "kind", "scope", "iat", "exp", "nbf", "alg", "typ", "kid", "b64"])


@given(
    header=strategies.dictionaries(NAMES, JSON),
    claims=strategies.one_of(strategies.dictionaries(NAMES, JSON), JSON, strategies.just("[" * 2_000)),
    text=strategies.text(max_size=40),
    cut=strategies.integers(0, 3),
)
@hypothesis_settings(deadline=None, max_examples=400)
def test_whatever_is_sent_as_a_token_is_taken_or_refused_with_a_reason(
    header: dict[str, Any], claims: object, text: str, cut: int
) -> None:
    issuer = Issuer()
    keys = Keys("none", ManualClock(NOW))
    keys._keys = jwks._parse(issuer.jwks())
    keys._fetched_at = keys._tried_at = NOW
    by = Authenticator(keys, ManualClock(NOW), issuer=ISSUER, audience=AUDIENCE, leeway=LEEWAY)
    body = claims if isinstance(claims, str) else json.dumps(claims)
    if isinstance(claims, dict):
        body = json.dumps({"iss": ISSUER, "aud": AUDIENCE, "sub": "web", "iat": 1, "exp": 4_000_000_000} | claims)
    signed = PyJWS().encode(body.encode(), issuer.key, "EdDSA", headers={"kid": "k1"})
    parts = [encoded({"alg": "EdDSA", "kid": "k1"} | header), encoded(claims), text]
    for token in (signed, ".".join(parts[:cut]), ".".join(parts), text):
        reason = asyncio.run(refusal_of(by, token))
        assert reason == "" or reason.startswith("TOKEN_")


def encoded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


async def test_the_last_good_keys_stay_while_the_issuer_fails() -> None:
    issuer, clock = Issuer(), ManualClock(NOW)
    async with jwks_server(issuer.jwks()) as server:
        keys = authenticator(server.url, clock)
        await keys.load()
        for status, body in ((503, ""), (200, "<html>"), (200, '{"keys": []}'), (200, '{"keys": 3}'), (200, "[]")):
            server.status, server.body = status, body
            clock.advance(timedelta(minutes=6))
            assert await is_trusted(keys, issuer.token())
        assert server.asked == 6
    clock.advance(timedelta(minutes=6))
    assert await is_trusted(keys, issuer.token())


async def test_a_withdrawn_key_is_trusted_for_five_minutes_more_at_most() -> None:
    old, new, clock = Issuer("k1"), Issuer("k2"), ManualClock(NOW)
    async with jwks_server(old.jwks()) as server:
        keys = authenticator(server.url, clock)
        await keys.load()
        clock.advance(timedelta(minutes=4))
        assert await is_trusted(keys, old.token())
        server.body = new.jwks()
        clock.advance(timedelta(minutes=5))
        assert not await is_trusted(keys, old.token())


async def test_a_token_is_verified_once_and_forgotten_when_it_expires(tmp_path: Path) -> None:
    issuer, clock, path = Issuer(), ManualClock(NOW), tmp_path / "jwks"
    path.write_text(issuer.jwks())
    keys = authenticator(str(path), clock)
    await keys.load()
    token = issuer.token("ann", "a b", "person", exp=NOW.timestamp() + 60)
    first = await keys.caller(f"Bearer {token}")
    assert (first.subject, first.kind, first.rights) == ("ann", "person", frozenset({"a", "b"}))
    assert await keys.caller(f"Bearer {token}") is first
    clock.advance(timedelta(seconds=60) + LEEWAY)
    assert await refusal_of(keys, token) == "TOKEN_EXPIRED"


async def test_remembered_tokens_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    issuer, clock, path = Issuer(), ManualClock(NOW), tmp_path / "jwks"
    path.write_text(issuer.jwks())
    keys = authenticator(str(path), clock)
    await keys.load()
    monkeypatch.setattr(auth, "CACHED_TOKENS_MAX", 3)
    for number in range(10):
        assert await is_trusted(keys, issuer.token(f"s{number}"))
    assert len(keys._known) == 3


async def test_without_any_keys_there_is_nothing_to_start_with(tmp_path: Path) -> None:
    for source in (str(tmp_path / "none"), "http://127.0.0.1:1/jwks"):
        with pytest.raises(ConnectionError, match="HOLDSPACE_JWKS"):
            await authenticator(source, ManualClock(NOW)).load()


@pytest.mark.filterwarnings("ignore:The RSA key")
async def test_keys_of_three_algorithms_are_taken_and_shared_secrets_never(tmp_path: Path) -> None:
    curve, prime = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65_537, 2_048)
    clock = ManualClock(NOW)
    weak = rsa.generate_private_key(65_537, 1_024)  # noqa: S505 - to be refused
    secret, path = b"s" * 64, tmp_path / "jwks"
    listed: list[Any] = [
        ECAlgorithm.to_jwk(curve.public_key(), as_dict=True) | {"kid": "ec"},
        RSAAlgorithm.to_jwk(prime.public_key(), as_dict=True) | {"kid": "rsa", "use": "sig"},
        RSAAlgorithm.to_jwk(prime.public_key(), as_dict=True) | {"kid": "enc", "use": "enc"},
        RSAAlgorithm.to_jwk(prime.public_key(), as_dict=True) | {"kid": "ps", "alg": "PS256"},
        RSAAlgorithm.to_jwk(weak.public_key(), as_dict=True) | {"kid": "weak"},
        HMACAlgorithm.to_jwk(secret, as_dict=True) | {"kid": "oct"},
        "no key",
        {"kid": "odd", "kty": "odd"},
    ]
    path.write_text(str(listed).replace("'", '"').join(['{"keys": ', "}"]))
    keys = authenticator(str(path), clock)
    await keys.load()
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "web", "kind": "service", "iat": NOW.timestamp()}
    claims["exp"] = NOW.timestamp() + 60
    signed: dict[str, tuple[Any, str]] = {
        "ec": (curve, "ES256"),
        "rsa": (prime, "RS256"),
        "enc": (prime, "RS256"),
        "ps": (prime, "PS256"),
        "weak": (weak, "RS256"),
        "oct": (secret, "HS256"),
    }
    trusted = {
        kid: await is_trusted(keys, encode(claims, key, algorithm, headers={"kid": kid}))
        for kid, (key, algorithm) in signed.items()
    }
    assert trusted == {"ec": True, "rsa": True, "enc": False, "ps": False, "weak": False, "oct": False}


def listing(**changes: object) -> Message:
    return diary_pb2.ListRequest(**{"author_id": "ann"} | changes)


PAGES = Pages(b"k" * 32)
AT = datetime(2026, 3, 2, 9, 0, 0, 123_456, tzinfo=UTC)


def pages_of(request: Message) -> Page:
    return PAGES.of(request, datetime, str, int)


def test_a_page_token_leads_to_the_next_page_of_the_same_list() -> None:
    first = pages_of(listing())
    assert (first.size, first.after) == (50, ())
    token = first.next(AT.astimezone(ZoneInfo("Asia/Kolkata")), "é", -7)
    second = pages_of(listing(page_token=token, page_size=9_999, at_least="later"))
    assert (second.size, second.after) == (500, (AT, "é", -7))


@pytest.mark.parametrize("token", ["x", "é", "!!", "AAAA", "====", seal(tokens_pb2.PageToken(after=["a"]))])
def test_a_page_token_that_nobody_gave_is_invalid(token: str) -> None:
    assert rejection(pages_of, listing(page_token=token)) == ("PAGE_TOKEN_INVALID", "page_token")


def test_a_page_token_of_other_filters_or_another_list_is_invalid() -> None:
    invalid = ("PAGE_TOKEN_INVALID", "page_token")
    token = pages_of(listing()).next(AT, "a", 1)
    assert rejection(pages_of, listing(author_id="bob", page_token=token)) == invalid
    assert rejection(pages_of, listing(mood="MOOD_CALM", page_token=token)) == invalid
    assert rejection(PAGES.of, listing(page_token=token), datetime, str) == invalid
    of_another = PAGES.of(listing(), datetime, str).next(AT, "a")
    assert rejection(pages_of, listing(page_token=of_another)) == invalid


def test_a_page_token_of_another_key_or_changed_in_any_byte_is_invalid() -> None:
    invalid = ("PAGE_TOKEN_INVALID", "page_token")
    token = pages_of(listing()).next(AT, "a", 1)
    assert rejection(Pages(b"o" * 32).of, listing(page_token=token), datetime, str, int) == invalid
    bytes_of = base64.urlsafe_b64decode(token + "==")
    for place in range(len(bytes_of)):
        changed = bytes_of[:place] + bytes([bytes_of[place] ^ 1]) + bytes_of[place + 1 :]
        forged = base64.urlsafe_b64encode(changed).rstrip(b"=").decode()
        assert rejection(pages_of, listing(page_token=forged)) == invalid, place


@pytest.mark.parametrize(
    "after", [["now", "a", "1"], ["2026-03-02", "a", "1"], [AT.isoformat(), "a", "9" * 30], [AT.isoformat(), "\0", "1"]]
)
def test_what_another_release_signed_and_this_one_cannot_read_is_invalid(after: list[str]) -> None:
    digest = pages_of(listing()).list
    token = seal(tokens_pb2.PageToken(list=digest, after=after, mac=paging._mac(b"k" * 32, digest, after)))
    assert rejection(pages_of, listing(page_token=token)) == ("PAGE_TOKEN_INVALID", "page_token")


def test_a_page_has_no_negative_size() -> None:
    assert rejection(pages_of, listing(page_size=-1)) == ("FIELD_MALFORMED", "page_size")


def test_a_revision_comes_back_as_it_was_given() -> None:
    revision = Revision("messaging/a/0", 7)
    assert at_least(revision.encode()) == revision
    assert at_least("") is None


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "é",
        base64.b64encode(b"\xff" * 3).decode(),
        seal(tokens_pb2.Revision(position=1)),
        seal(tokens_pb2.Revision(source="a", position=-1)),
    ],
)
def test_a_revision_that_nobody_gave_is_malformed(text: str) -> None:
    assert rejection(at_least, text) == ("FIELD_MALFORMED", "at_least")
