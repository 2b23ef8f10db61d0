"""A TCP proxy before Postgres that loses a connection at the instant a test names."""

import asyncio
from enum import Enum
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit

CHUNK_BYTES = 65_536


class Cut(Enum):
    """When the connection goes, seen from the statement whose bytes carry the marker."""

    BEFORE_IT_ARRIVES = "the server never sees the statement"
    BEFORE_THE_ANSWER = "the server has done it and its answer is lost"
    WHILE_IT_RUNS = "the server has it and both ends lose the connection"
    HELD_BACK = "the client loses the connection; the server gets the statement only when the test lets it"


class CuttingProxy:
    """`arm` names the statement and the cut; it happens once. Everything else passes unchanged."""

    def __init__(self, database_url: str) -> None:
        self._parts = urlsplit(database_url)
        self._marker = b""
        self._cut: Cut | None = None
        self._links: set[asyncio.Task[None]] = set()
        self._release = asyncio.Event()
        self.happened = asyncio.Event()
        self.answered = asyncio.Event()

    async def __aenter__(self) -> "CuttingProxy":
        self._server = await asyncio.start_server(self._link, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    @property
    def url(self) -> str:
        port = self._server.sockets[0].getsockname()[1]
        return urlunsplit(self._parts._replace(netloc=f"{self._parts.username}@127.0.0.1:{port}"))

    def arm(self, marker: bytes, cut: Cut) -> None:
        self._marker, self._cut = marker, cut
        self.happened.clear()

    def release(self) -> None:
        """Delivers what was held back."""
        self._release.set()

    async def _link(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        server, to_server = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        answers = asyncio.create_task(self._pass_on(server, to_client))
        try:
            while chunk := await client.read(CHUNK_BYTES):
                if self._cut is not None and self._marker in chunk:
                    answers.cancel()  # From here on the client hears nothing.
                    await asyncio.gather(answers, return_exceptions=True)
                    await self._lose(chunk, server, to_server, to_client)
                    return
                to_server.write(chunk)
        except ConnectionError:
            pass
        finally:
            answers.cancel()
            to_client.close()
            to_server.close()
            self._links.discard(task)

    async def _lose(
        self,
        statement: bytes,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        to_client: asyncio.StreamWriter,
    ) -> None:
        cut, self._cut = self._cut, None
        self.happened.set()
        if cut is Cut.HELD_BACK:
            to_client.transport.abort()
            await self._release.wait()
        if cut is not Cut.BEFORE_IT_ARRIVES:
            to_server.write(statement)
            await to_server.drain()
        if cut in (Cut.BEFORE_THE_ANSWER, Cut.HELD_BACK):
            await server.read(CHUNK_BYTES)  # The server answers after the commit.
            self.answered.set()
        to_client.transport.abort()
        to_server.transport.abort()

    @staticmethod
    async def _pass_on(server: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            while chunk := await server.read(CHUNK_BYTES):
                to_client.write(chunk)
        except ConnectionError:
            pass
        to_client.close()
