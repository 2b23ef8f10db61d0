"""What the roles of a service may do in the database, and how long accepted requests are remembered."""

import asyncio

import asyncpg
import pytest

from kernel.store.interface import Append, Appended, Outcome, RequestKind
from kernel.store.postgres import PostgresStore
from tests.contract.callers import append, open_store, session, somebody_else_appending

WAITING = """
select count(distinct pid) from pg_locks l join pg_database d on d.oid = l.database
where d.datname = current_database() and not granted"""

FORBIDDEN = {
    "messaging_api": [
        "insert into messaging.facts values (1, 's', 1, now(), 'x')",
        "update messaging.facts set fact = 'x'",
        "delete from messaging.facts",
        "truncate messaging.facts",
        "insert into messaging.attachments values ('a', 'x')",
        "insert into messaging.requests_call values ('k', 'd', 's', 1)",
        "delete from messaging.requests_call",
        "insert into messaging.claimed_names values ('n', 's')",
        "insert into messaging.timers (stream, name, due_at) values ('s', 't', now())",
        "update messaging.store_identity set epoch = 2",
        "select * from moderation.facts",
        "select * from moderation_read.read_model_checkpoint",
        "create table messaging.mine (id text)",
    ],
    "messaging_reader": [
        "select * from messaging.attachments",
        "delete from messaging.attachments",
        "select * from messaging.requests_call",
        "insert into messaging.facts values (1, 's', 1, now(), 'x')",
        "select messaging.rotate_requests()",
        "select * from moderation.facts",
        "update messaging.store_identity set epoch = 2",
    ],
    "messaging_owner": ["select * from moderation.facts"],
}
ALLOWED = {
    "messaging_api": [
        "select * from messaging.facts",
        "select * from messaging.attachments",
        "delete from messaging.attachments where id = 'erased'",
        "select messaging.rotate_requests()",
    ],
    "messaging_reader": ["select * from messaging.facts", "select epoch from messaging.store_identity"],
}
APPEND_AS_READER = "select messaging.append('{}', '{}', '{}', '{}', '{}', '{}'" + ", null" * 15 + ")"


def cases(statements: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(role, sql) for role, of_role in statements.items() for sql in of_role]


@pytest.mark.parametrize(("role", "sql"), [*cases(FORBIDDEN), ("messaging_reader", APPEND_AS_READER)])
async def test_a_role_may_not_reach_beyond_its_task(module_database_url: str, role: str, sql: str) -> None:
    async with session(module_database_url, role) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(sql)


@pytest.mark.parametrize(("role", "sql"), cases(ALLOWED))
async def test_a_role_may_do_its_task(module_database_url: str, role: str, sql: str) -> None:
    async with session(module_database_url, role) as connection:
        await connection.execute(sql)


# How long requests are remembered.


async def let_a_period_pass(database_url: str, kind: RequestKind = RequestKind.CALL) -> int:
    async with session(database_url, "messaging_owner") as owner:
        await owner.execute(
            "update request_periods set began_at = began_at - make_interval(days => keeps_days) where kind = $1",
            kind.value,
        )
    async with session(database_url, "messaging_api") as api:
        return int(await api.fetchval("select rotate_requests()"))


def of_kind(kind: RequestKind, stream: str) -> Append:
    asked = append(stream)
    return asked._replace(request=asked.request._replace(kind=kind))


@pytest.mark.rule("MS5", "PL4")
@pytest.mark.parametrize("kind", list(RequestKind))
async def test_a_request_is_remembered_for_this_period_and_the_next(
    postgres_store: PostgresStore, database_url: str, kind: RequestKind
) -> None:
    asked = of_kind(kind, "s")
    first = await postgres_store.append(asked)
    seen = Appended(Outcome.REQUEST_SEEN, "s", first.version, first.position)
    assert await let_a_period_pass(database_url, kind) == 1
    assert await postgres_store.append(asked) == seen
    assert await postgres_store.find_request(asked.request) == seen
    assert await let_a_period_pass(database_url, kind) == 1
    assert await postgres_store.find_request(asked.request) is None
    assert (await postgres_store.append(asked)).outcome is Outcome.STALE  # not seen, and nothing is done twice


async def test_a_period_that_is_not_over_is_not_cut_short(postgres_store: PostgresStore, database_url: str) -> None:
    asked, other = of_kind(RequestKind.CALL, "s"), of_kind(RequestKind.REACTION, "t")
    await postgres_store.append(asked)
    await postgres_store.append(other)
    for _ in range(3):
        await let_a_period_pass(database_url, RequestKind.REACTION)
    assert await postgres_store.find_request(asked.request) is not None
    assert await postgres_store.find_request(other.request) is None
    async with session(database_url, "messaging_api") as api:
        assert await api.fetchval("select rotate_requests()") == 0


@pytest.mark.parametrize("kind", list(RequestKind))
async def test_a_period_ends_behind_an_append_that_waits_for_its_turn(database_url: str, kind: RequestKind) -> None:
    async with open_store(database_url) as store, session(database_url, "messaging_owner") as looking:
        async with somebody_else_appending(database_url):
            appending = asyncio.create_task(store.append(of_kind(kind, "s")))
            await until_waiting(looking, 1)
            rotating = asyncio.create_task(let_a_period_pass(database_url, RequestKind.REACTION))
            await until_waiting(looking, 2)
        assert (await appending).outcome is Outcome.APPENDED
        assert await rotating == 1


async def until_waiting(connection: asyncpg.Connection, sessions: int) -> None:
    """Returns when so many sessions wait for a lock. Raises TimeoutError after five seconds."""
    async with asyncio.timeout(5):
        while await connection.fetchval(WAITING) < sessions:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)


async def test_periods_change_while_stores_append_and_no_request_of_the_last_one_is_forgotten(
    database_url: str,
) -> None:
    async with open_store(database_url) as one, open_store(database_url) as other:
        recent: list[Append] = []

        async def keep_appending(store: PostgresStore, kind: RequestKind, name: str) -> None:
            for n in range(150):
                asked = of_kind(kind, f"{name}-{n}")
                assert (await store.append(asked)).outcome is Outcome.APPENDED
                recent.append(asked)

        async def keep_asking() -> None:
            while not writing.done():
                for asked in recent[-8:]:
                    await one.find_request(asked.request)
                await asyncio.sleep(0)  # At first there is nothing to ask for.

        writing = asyncio.gather(
            *(
                keep_appending(s, kind, f"{s is one}-{kind}-{n}")
                for s in (one, other)
                for kind in RequestKind
                for n in (1, 2)
            )
        )
        asking = asyncio.create_task(keep_asking())
        rotations = 0
        while not writing.done():
            begun = len(recent)
            for kind in RequestKind:
                rotations += await let_a_period_pass(database_url, kind)
            for asked in recent[begun:]:
                found = await other.find_request(asked.request)
                assert found is not None
                assert found.outcome is Outcome.REQUEST_SEEN
        await writing
        await asking
        assert rotations > 0  # How many is the machine's affair.
        assert await one.head() == 8 * 150
