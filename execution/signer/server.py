"""The signer's side of its Unix socket: many requests at once, each answered; it signs, and has no other words."""

import asyncio
import fcntl
import os
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO

import structlog

from execution.eip1559 import Transaction
from execution.ports import Login, Signer, SignerRefused
from execution.signer.frames import (
    LENGTH_BYTES,
    Answered,
    Asked,
    BadFrame,
    Subject,
    answer_bytes,
    frame_length,
    read_request,
)

log = structlog.get_logger()

CONNECTIONS_MAX = 64
AT_ONCE_MAX = 512
"""Requests of one connection that are worked on; the next waits in the socket."""

SIGN_S = 10.0
"""Longer than any signature or database read takes; then the answer is no."""

FRAME_S = 5.0
"""A frame that has begun must be whole after this, and an answer must be taken: nobody holds the signer up."""

SOCKET_MODE = 0o600
PATH_BYTES_MAX = 107
"""What Linux lets a socket's path have."""


class SocketTaken(Exception):
    """The socket cannot be had; the message is a sentence for people."""


class SignerServer:
    """Serves a `Signer` on a socket that only this user may open. Service shape: `run(stop)`."""

    name = "signer"

    def __init__(self, signer: Signer, path: Path) -> None:
        self._signer, self._path = signer, path
        self._connections: set[asyncio.Task[None]] = set()
        self.listening = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; what is being signed then is answered first. Raises SocketTaken."""
        lock = _lock_beside(self._path)
        try:
            _clear(self._path)
            server = await _listen(self._path, self._welcome)
            try:
                log.info("The signer listens.", action="signer-up", path=str(self._path))
                self.listening.set()
                await stop.wait()
            finally:
                server.close()
                for task in self._connections:
                    task.cancel()
                await asyncio.gather(*self._connections, return_exceptions=True)
                _clear(self._path)
        finally:
            lock.close()

    async def _welcome(self, reader: StreamReader, writer: StreamWriter) -> None:
        if len(self._connections) >= CONNECTIONS_MAX:
            log.warning("The signer has too many connections; one was turned away.", action="signer-full")
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await _Connection(self._signer, reader, writer).serve()
        except asyncio.CancelledError:
            # The server stops; streams would log the cancellation of a task that is theirs.
            pass
        finally:
            self._connections.discard(task)
            writer.close()


class _Connection:
    """One engine's connection: frames in, answers out in the order in which they are ready."""

    def __init__(self, signer: Signer, reader: StreamReader, writer: StreamWriter) -> None:
        self._signer, self._reader, self._writer = signer, reader, writer
        self._working: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(AT_ONCE_MAX)
        self._writing = asyncio.Lock()

    async def serve(self) -> None:
        try:
            while (body := await self._read()) is not None:
                await self._room.acquire()
                task = asyncio.create_task(self._answer(body), name="signer-request")
                self._working.add(task)
                task.add_done_callback(self._done)
        except BadFrame as error:
            log.warning("The signer dropped a connection.", action="signer-bad-frame", why=str(error))
        except (ConnectionError, TimeoutError):
            log.info("A connection to the signer broke.", action="signer-gone")
        finally:
            await asyncio.shield(asyncio.gather(*self._working, return_exceptions=True))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        self._room.release()

    async def _read(self) -> bytes | None:
        """The next frame's body; None when the other side has hung up between two frames."""
        first = await self._reader.read(1)
        if not first:
            return None
        try:
            async with asyncio.timeout(FRAME_S):
                head = first + await self._reader.readexactly(LENGTH_BYTES - 1)
                return await self._reader.readexactly(frame_length(head))
        except asyncio.IncompleteReadError:
            raise BadFrame("A frame ended in its middle.") from None

    async def _answer(self, body: bytes) -> None:
        try:
            asked = read_request(body)
        except BadFrame as error:
            # Without its number nobody can be answered; the asker's own time runs out.
            log.warning("The signer could not read a request.", action="signer-bad-request", why=str(error))
            return
        answered = asked if isinstance(asked, Answered) else await self._signed(asked)
        if answered.refused:
            log.warning("Not signed.", action="signer-refused", why=answered.refused)
        try:
            async with asyncio.timeout(FRAME_S), self._writing:
                self._writer.write(answer_bytes(answered))
                await self._writer.drain()
        except (ConnectionError, TimeoutError):
            # Who takes no answers gets none of the others either, and holds no memory here.
            self._writer.transport.abort()

    async def _signed(self, asked: Asked) -> Answered:
        try:
            async with asyncio.timeout(SIGN_S):
                signature = await self._signature(asked.subject, asked.key)
        except SignerRefused as refused:
            return Answered(number=asked.number, refused=str(refused))
        except TimeoutError:
            return Answered(number=asked.number, refused=f"Not signed within {SIGN_S:.0f} s.")
        except Exception as error:  # noqa: BLE001  (one bad request must not end the process that signs for everybody)
            # The type alone: the text of an unforeseen error could hold anything.
            log.error("The signer failed.", action="signer-failed", error=type(error).__name__)
            return Answered(number=asked.number, refused="The signer failed; its log says how.")
        return Answered(number=asked.number, signature=signature)

    async def _signature(self, subject: Subject, key: str) -> bytes:
        if isinstance(subject, Login):
            return await self._signer.sign_login(subject, key=key)
        if isinstance(subject, Transaction):
            return await self._signer.sign_transaction(subject, key=key)
        return await self._signer.sign_order(subject, key=key)


def _lock_beside(path: Path) -> IO[bytes]:
    """Held for the life of the server: a socket file says nothing about who is alive. Raises SocketTaken."""
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        raise SocketTaken(f"The path of a socket has at most {PATH_BYTES_MAX} bytes; choose a shorter one.")
    try:
        opened = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, SOCKET_MODE)
    except OSError as error:
        raise SocketTaken(f"The signer cannot listen at {path}: {error.strerror}.") from None
    lock = os.fdopen(opened, "rb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise SocketTaken(f"Another signer listens at {path} already.") from None
    return lock


def _clear(path: Path) -> None:
    """Remove what a killed signer left: the lock says that nobody serves it. Raises SocketTaken."""
    if path.exists() and not path.is_socket():
        raise SocketTaken(f"At {path} is something that is no socket; the signer does not replace it.")
    path.unlink(missing_ok=True)


async def _listen(path: Path, welcome: Callable[[StreamReader, StreamWriter], Awaitable[None]]) -> asyncio.Server:
    before = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(welcome, path=str(path))
    except OSError as error:
        raise SocketTaken(f"The signer cannot listen at {path}: {error.strerror}.") from None
    finally:
        os.umask(before)
