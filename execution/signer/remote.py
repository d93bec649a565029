"""The engine's side of the signer's Unix socket: `ports.Signer` over one connection that many requests share."""

import asyncio
from contextlib import suppress
from itertools import count
from pathlib import Path

from execution.eip1559 import Transaction
from execution.orders import OrderPlan
from execution.ports import Login, SignerRefused
from execution.signer.frames import (
    LENGTH_BYTES,
    Answered,
    Asked,
    BadFrame,
    Subject,
    frame_length,
    read_answer,
    request_bytes,
)

BROKE = "The signer cannot be reached: the line broke."

ANSWER_S = 2.0
"""No answer for so long is a no. Signing takes well under a millisecond, opening a key some more."""


class RemoteSigner:
    """Asks the process behind a socket, which must be up; connects when first asked, and again after it went away."""

    def __init__(self, path: Path, *, answer_s: float = ANSWER_S) -> None:
        self._path, self._answer_s = path, answer_s
        self._numbers = count(1)
        self._line: _Line | None = None
        self._connecting = asyncio.Lock()

    async def sign_order(self, plan: OrderPlan, *, key: str) -> bytes:
        """The signature to send. Raises SignerRefused, also when nobody answers."""
        return await self._ask(plan, key)

    async def sign_login(self, login: Login, *, key: str) -> bytes:
        """The 65-byte signature of a login. Raises SignerRefused, also when nobody answers."""
        return await self._ask(login, key)

    async def sign_transaction(self, transaction: Transaction, *, key: str) -> bytes:
        """The 65-byte signature of a transaction. Raises SignerRefused, also when nobody answers."""
        return await self._ask(transaction, key)

    async def close(self) -> None:
        """Hang up; what was asked and not answered is refused."""
        if self._line is not None:
            await self._line.close()
            self._line = None

    async def _ask(self, subject: Subject, key: str) -> bytes:
        asked = Asked(number=next(self._numbers), key=key, subject=subject)
        try:
            async with asyncio.timeout(self._answer_s):
                line = await self._connected()
                answered = await line.ask(asked)
        except TimeoutError:
            raise SignerRefused(f"The signer did not answer within {self._answer_s:g} s.") from None
        except OSError as error:
            raise SignerRefused(f"The signer cannot be reached: {error.strerror or 'the line broke'}.") from None
        if answered.refused:
            raise SignerRefused(answered.refused)
        return answered.signature

    async def _connected(self) -> "_Line":
        async with self._connecting:
            if self._line is None or self._line.is_down:
                if self._line is not None:
                    await self._line.close()
                self._line = _Line(*await asyncio.open_unix_connection(str(self._path)))
            return self._line


class _Line:
    """One connection; a task of its own hands each answer to who waits for its number."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._waiting: dict[int, asyncio.Future[Answered]] = {}
        self._listening = asyncio.create_task(self._listen(), name="signer-answers")

    @property
    def is_down(self) -> bool:
        """Whether it can carry nothing more."""
        return self._listening.done() or self._writer.is_closing()

    async def ask(self, asked: Asked) -> Answered:
        """Raises OSError when the line breaks."""
        waiting: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._waiting[asked.number] = waiting
        try:
            self._writer.write(request_bytes(asked))
            await self._writer.drain()
            return await waiting
        finally:
            # An answer that comes later finds nobody; its signature is dropped with it.
            self._waiting.pop(asked.number, None)

    async def close(self) -> None:
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def _listen(self) -> None:
        try:
            while True:
                head = await self._reader.readexactly(LENGTH_BYTES)
                answered = read_answer(await self._reader.readexactly(frame_length(head)))
                waiting = self._waiting.get(answered.number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answered)
        except (asyncio.IncompleteReadError, BadFrame, OSError):
            pass  # The line is down; who waits is told below.
        finally:
            for number, waiting in self._waiting.items():
                if not waiting.done():
                    waiting.set_result(Answered(number=number, refused=BROKE))
