"""The Postgres store when the connection goes in the window of the commit: it asks by the request and never guesses."""

import asyncio

import pytest

from kernel.errors import StoreUnavailable
from kernel.store.append_call import APPEND, arguments
from kernel.store.interface import Appended, Attachment, Outcome
from tests.contract.callers import append, assert_whole, open_store, session, until_it_is_in
from tests.contract.cutting_proxy import Cut, CuttingProxy


@pytest.mark.rule("MS5")
async def test_an_append_whose_answer_was_lost_after_the_commit_is_answered_by_its_request(database_url: str) -> None:
    async with CuttingProxy(database_url) as proxy, open_store(proxy.url) as store:
        await store.append(append("warm"))
        asked = append("marked-stream", attachments=[Attachment("body", b"sealed")])
        proxy.arm(b"marked-stream", Cut.BEFORE_THE_ANSWER)
        told = await store.append(asked)

        assert proxy.happened.is_set()
        assert told == Appended(Outcome.REQUEST_SEEN, "marked-stream", 1, 2)
        assert await store.append(asked) == told
        assert await store.attachment("body") == b"sealed"
        assert await store.head() == 2


async def test_an_append_that_never_arrived_says_so_and_its_retry_has_the_one_effect(database_url: str) -> None:
    async with CuttingProxy(database_url) as proxy, open_store(proxy.url) as store:
        await store.append(append("warm"))
        asked = append("marked-stream", attachments=[Attachment("body", b"sealed")])
        proxy.arm(b"marked-stream", Cut.BEFORE_IT_ARRIVES)
        with pytest.raises(StoreUnavailable):
            await store.append(asked)

        assert proxy.happened.is_set()
        assert (await store.head(), await store.attachment("body")) == (1, None)
        assert await store.append(asked) == Appended(Outcome.APPENDED, "marked-stream", 1, 2)
        assert await store.attachment("body") == b"sealed"


async def test_an_append_cut_while_it_runs_has_one_effect_whichever_way_it_went(database_url: str) -> None:
    async with CuttingProxy(database_url) as proxy, open_store(proxy.url) as store:
        appends = [append(f"marked-{n}-") for n in range(20)]
        for asked in appends:
            proxy.arm(asked.stream.encode(), Cut.WHILE_IT_RUNS)
            told = await until_it_is_in(store, asked)
            assert told.outcome in (Outcome.APPENDED, Outcome.REQUEST_SEEN)
            assert proxy.happened.is_set()
        assert_whole(await store.read_all(0, 100), appends)


@pytest.mark.parametrize("fresh_ids", [True, False])
async def test_a_statement_that_arrives_after_its_retry_changes_nothing(database_url: str, fresh_ids: bool) -> None:
    async with CuttingProxy(database_url) as proxy, open_store(proxy.url) as store:
        await store.append(append("warm"))
        asked = append("marked-stream", attachments=[Attachment("first-try", b"sealed")])
        proxy.arm(b"marked-stream", Cut.HELD_BACK)
        with pytest.raises(StoreUnavailable):
            await store.append(asked)
        again = asked._replace(attachments=[Attachment("retry", b"sealed")]) if fresh_ids else asked
        first = await store.append(again)
        proxy.release()
        await asyncio.wait_for(proxy.answered.wait(), 5)

        assert first.outcome is Outcome.APPENDED
        assert [r.stream for r in await store.read_all(0, 10)] == ["warm", "marked-stream"]
        kept = [await store.attachment(name) for name in ("first-try", "retry")]
        assert kept == ([None, b"sealed"] if fresh_ids else [b"sealed", None])


@pytest.mark.parametrize("cut", [Cut.BEFORE_THE_ANSWER, Cut.BEFORE_IT_ARRIVES])
async def test_every_member_of_a_lost_batch_is_answered_by_its_own_request(database_url: str, cut: Cut) -> None:
    async with CuttingProxy(database_url) as proxy, open_store(proxy.url) as store:
        appends = [append(f"s{n}") for n in range(40)] + [append("marked-stream")]
        proxy.arm(b"marked-stream", cut)
        told = await asyncio.gather(*map(store.append, appends), return_exceptions=True)
        assert proxy.happened.is_set()
        landed = {recorded.stream for recorded in await store.read_all(0, 100)}
        for asked, answer in zip(appends, told, strict=True):
            assert isinstance(answer, Appended if asked.stream in landed else StoreUnavailable)
        assert ("marked-stream" in landed) == (cut is Cut.BEFORE_THE_ANSWER)
        await asyncio.gather(*(until_it_is_in(store, asked) for asked in appends))
        assert_whole(await store.read_all(0, 100), appends)


async def test_asking_for_a_request_while_it_commits_names_the_position_to_wait_for(database_url: str) -> None:
    asked = append("s")
    async with open_store(database_url) as store, session(database_url, "messaging_api") as connection:
        await store.append(append("before"))
        async with connection.transaction():
            await connection.fetchrow(APPEND, *arguments([asked]))
            finding = asyncio.create_task(store.find_request(asked.request))
            await asyncio.sleep(0.2)
            assert not finding.done()  # It waits for the append that holds the lock.
        assert await finding == Appended(Outcome.REQUEST_SEEN, "s", 1, 2)
