"""JSON-RPC to one node over HTTP, as bare as it gets: names, parameters, answers, errors."""

import json
from collections.abc import Sequence
from typing import Any

import aiohttp

CALL_SECONDS_MAX = 30
BATCH_MAX = 200
"""The node's own limit is on bytes (2 MB); so many writes to storage are about 50 KB."""

Call = tuple[str, Sequence[object]]


class NodeError(RuntimeError):
    """The node answered with an error: `error` as it stands in the answer, with code, message and perhaps data."""

    def __init__(self, method: str, error: dict[str, Any]) -> None:
        super().__init__(f"{method}: {error.get('message')}")
        self.error = error


class Node:
    """Answers are what the JSON says: `call` for an object or a list, `text` and `number` for one value."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None
        self._count = 0

    async def call(self, method: str, *params: object) -> Any:
        """One answer. Raises NodeError."""
        (answer,) = await self.batch([(method, params)])
        return answer

    async def text(self, method: str, *params: object) -> str:
        """An answer that is one text, such as a hash. Raises NodeError."""
        return str(await self.call(method, *params))

    async def number(self, method: str, *params: object) -> int:
        """An answer that is one hexadecimal quantity. Raises NodeError."""
        return int(await self.text(method, *params), 16)

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """The answers in the order of the calls, many calls a request. Raises NodeError for the first that failed."""
        answers: list[Any] = []
        for start in range(0, len(calls), BATCH_MAX):
            answers += await self._post(calls[start : start + BATCH_MAX])
        return answers

    async def close(self) -> None:
        """Give the connections back."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, calls: Sequence[Call]) -> list[Any]:
        requests = []
        for method, params in calls:
            self._count += 1
            requests.append({"jsonrpc": "2.0", "id": self._count, "method": method, "params": list(params)})
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_SECONDS_MAX))
        async with self._session.post(self._url, json=requests) as response:
            by_id = {each["id"]: each for each in json.loads(await response.read())}
        return [_result(by_id[request["id"]], str(request["method"])) for request in requests]


def _result(answer: dict[str, Any], method: str) -> Any:
    error = answer.get("error")
    if error is not None:
        raise NodeError(method, dict(error))
    return answer["result"]
