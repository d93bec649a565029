"""The source of an engine that hears nobody: it says so once, and waits to be stopped."""

import asyncio

import structlog

NOBODY_IS_HEARD = "The engine hears nobody and only works off what the database holds, as `--source none` asks for."

log = structlog.get_logger(__name__)


class SilentSource:
    """Offers nothing; what the database holds is the business of the engine's other services."""

    name = "none"

    async def run(self, stop: asyncio.Event) -> None:
        """Wait until stopped."""
        log.warning(NOBODY_IS_HEARD, action="source", source=self.name)
        await stop.wait()
