"""Many open dashboards in one process of their own: `python -m copytrading.benchmarks.readers ADDRESS`.

Each does what link.js does: the page, its state, the socket, and for each hint an acknowledgement and a fetch of what
came after the last sequence. Session keys come as the first line on stdin. A line says when all pages are open; the
end of stdin ends them, and what they heard is printed as one JSON line. No Django: these are the operators' browsers.
"""

import asyncio
import json
import os
import sys
from dataclasses import asdict, dataclass
from typing import Any

from aiohttp import ClientError, ClientSession, TCPConnector, WSMsgType  # noqa: TID251  (the browsers' side of the measurement)

QUIET_S = 5.0
"""A page that hears no hint for so long, or for twice its pace, fetches by itself, as link.js does."""

OPENING_MAX = 8
"""Pages that open at once."""


@dataclass(slots=True, kw_only=True)
class Heard:
    """What all pages heard together."""

    hints: int = 0
    fetches: int = 0
    events: int = 0
    bytes: int = 0
    failures: int = 0


class Reader:
    """One open page."""

    def __init__(self, session: ClientSession, address: str, heard: Heard, *, session_key: str) -> None:
        self._session, self._address, self._heard = session, address, heard
        self._headers = {"Cookie": f"sessionid={session_key}", "Accept": "application/json"}
        self._last = 0
        self._pace_s = 0.0
        self.open = asyncio.Event()

    async def run(self, opening: asyncio.Semaphore) -> None:
        """Open and read until cancelled; whatever goes wrong is counted and ends the page."""
        try:
            async with opening:
                await self._get("/")
                self._last = (await self._json("/dashboard/state"))["last"]
            await self._listen()
        except (ClientError, OSError, ValueError, KeyError):  # a figure of the measurement, not its end
            self._heard.failures += 1
        finally:
            self.open.set()

    async def _listen(self) -> None:
        """From here on the page is open; the first hint says so."""
        url, origin = f"http://{self._address}/ws/dashboard/", f"http://{self._address}"
        async with self._session.ws_connect(url, headers=self._headers, origin=origin) as socket:
            while True:
                try:
                    message = await asyncio.wait_for(socket.receive(), max(QUIET_S, 2 * self._pace_s))
                except TimeoutError:
                    await self._catch_up()
                    continue
                if message.type is not WSMsgType.TEXT:
                    raise ConnectionError(f"The server closed the socket with {socket.close_code}.")
                self._heard.hints += 1
                self.open.set()
                hint = json.loads(message.data)
                self._pace_s = hint["pace_ms"] / 1_000
                await socket.send_str(json.dumps({"type": "ack", "sequence": hint["sequence"]}))
                await self._catch_up()

    async def _catch_up(self) -> None:
        told = await self._json(f"/dashboard/events?after={self._last}")
        if told["behind"]:
            told = {**await self._json("/dashboard/state"), "events": []}
        self._last = told["last"]
        self._heard.fetches += 1
        self._heard.events += len(told["events"])

    async def _json(self, path: str) -> Any:
        return json.loads(await self._get(path))

    async def _get(self, path: str) -> bytes:
        async with self._session.get(f"http://{self._address}{path}", headers=self._headers) as answer:
            answer.raise_for_status()
            content = await answer.read()
        self._heard.bytes += len(content)
        return content


async def read(address: str, session_keys: list[str]) -> Heard:
    """Open a page for each session and read until stdin ends."""
    heard, opening = Heard(), asyncio.Semaphore(OPENING_MAX)
    loop = asyncio.get_running_loop()
    ended = loop.run_in_executor(None, sys.stdin.read)
    async with ClientSession(connector=TCPConnector(limit=0)) as session:
        readers = [Reader(session, address, heard, session_key=key) for key in session_keys]
        pages = [asyncio.create_task(reader.run(opening)) for reader in readers]
        await asyncio.gather(*(reader.open.wait() for reader in readers))
        sys.stdout.write("open\n")
        sys.stdout.flush()
        await ended
        for page in pages:
            page.cancel()
        await asyncio.gather(*pages, return_exceptions=True)
    return heard


def main() -> None:
    """Read, and print what was heard."""
    os.nice(19)  # browsers are on other machines: they must not take the engine's processor here
    keys = sys.stdin.readline().split()
    sys.stdout.write(json.dumps(asdict(asyncio.run(read(sys.argv[1], keys)))) + "\n")


if __name__ == "__main__":
    main()
