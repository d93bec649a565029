"""Asks the venue for markets: Gamma by condition or token, of both protocol versions, and the CLOB where Gamma fails.

The CLOB is asked as well for what an order needs and Gamma leaves out.
Gamma answers with version 1 only unless told otherwise, and with open markets only; so a market that is not found
is asked for again as the other version, and as a closed one (polymarket.md 5.3).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from execution.clob_markets import describe_clob_market
from execution.gamma import GammaError, MarketDescription, completed, describe_market
from execution.hosts import Host, HostDown, HostRefused
from execution.position_ids import is_position_id, looks_like_v2

BATCH_MAX = 20
"""Markets in one question: token ids have 78 digits, and addresses beyond some kilobytes are refused."""

PAGE_MAX = 100
"""Markets on a page: the venue's limit."""

PAGES_MAX = 3
"""Of one question: a batch fits on one page, and more would be a circle."""

V1, V2 = "v1", "v2"

GAMMA, CLOB = "gamma-markets", "clob-markets"
"""The kinds of question, as the limits name them."""

_NO_CURSORS = frozenset({"", "LTE="})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Asking:
    """One question: under which name the ids are asked for, of which version, closed markets or open ones."""

    name: str
    version: str
    closed: bool


class GammaClient:
    """Finds markets; what nobody knows is left out of the answer."""

    def __init__(self, gamma: Host, clob: Host) -> None:
        self._gamma, self._clob = gamma, clob

    async def by_conditions(self, condition_ids: Iterable[str]) -> dict[str, MarketDescription]:
        """The markets of these conditions; while Gamma is down, those that the CLOB knows. Raises HostDown."""
        wanted = list(dict.fromkeys(condition_ids))
        try:
            return await self._by_conditions(wanted)
        except HostDown:
            # Its terms are all that an order needs, and an order goes to the CLOB.
            found = await self._from_clob(wanted)
            if not found:
                raise
            return found

    async def _by_conditions(self, wanted: Sequence[str]) -> dict[str, MarketDescription]:
        newer = [each for each in wanted if looks_like_v2(each)]
        older = [each for each in wanted if not looks_like_v2(each)]
        found: dict[str, MarketDescription] = {}
        for ids, versions in ((older, (V1, V2)), (newer, (V2, V1))):
            asked = [_Asking("condition_ids", version, closed) for closed in (False, True) for version in versions]
            for batch in _batches(ids):
                found |= {each.condition_id: each for each in await self._find(batch, asked)}
        found = {key: await self._completed(each) for key, each in found.items()}
        return found | await self._from_clob([each for each in wanted if each not in found])

    async def by_tokens(self, token_ids: Iterable[int]) -> dict[int, MarketDescription]:
        """The markets of these tokens. Raises HostDown."""
        wanted = list(dict.fromkeys(token_ids))
        newer = [str(each) for each in wanted if is_position_id(each)]
        older = [str(each) for each in wanted if not is_position_id(each)]
        found: dict[int, MarketDescription] = {}
        for name, version, ids in (("clob_token_ids", V1, older), ("position_ids", V2, newer)):
            asked = [_Asking(name, version, closed) for closed in (False, True)]
            for batch in _batches(ids):
                for each in await self._find(batch, asked):
                    found |= dict.fromkeys(each.tokens or (), each)
        whole = {each.condition_id: await self._completed(each) for each in dict.fromkeys(found.values())}
        return {token: whole[found[token].condition_id] for token in wanted if token in found}

    async def terms_of(self, condition_id: str) -> MarketDescription | None:
        """What orders of a market must respect now, from the CLOB itself; None when it does not know it.

        Raises HostDown.
        """
        try:
            value = await self._clob.ask(CLOB, f"/clob-markets/{condition_id}")
            return describe_clob_market(value, condition_id=condition_id)
        except HostRefused:
            return None
        except GammaError as error:
            log.warning("A market of the CLOB cannot be read.", action="market", market=condition_id, why=str(error))
            return None

    async def _from_clob(self, condition_ids: Sequence[str]) -> dict[str, MarketDescription]:
        found = {each: await self.terms_of(each) for each in condition_ids}
        return {key: each for key, each in found.items() if each is not None}

    async def _completed(self, said: MarketDescription) -> MarketDescription:
        """The description with what it leaves out of an order's facts as the CLOB says it, where it does."""
        if said.is_complete or (said.closed and not said.fee_withheld):
            # Nothing is ordered where a market has ended; what was filled before is still booked with its fee.
            return said
        try:
            more = await self.terms_of(said.condition_id)
        except HostDown:
            # What was said is worth having; whoever needs the rest refuses, and it is asked for again.
            return said
        return said if more is None else completed(said, more)

    async def _find(self, ids: Sequence[str], asked: Sequence[_Asking]) -> list[MarketDescription]:
        """The markets of these ids, asked in this order for those that are still missing."""
        found: list[MarketDescription] = []
        missing = list(ids)
        for asking in asked:
            if not missing:
                break
            news = await self._pages(asking, missing)
            found += news
            known = {name for each in news for name in _names(each, asking)}
            missing = [each for each in missing if each not in known]
        return found

    async def _pages(self, asking: _Asking, ids: Sequence[str]) -> list[MarketDescription]:
        query = [(asking.name, each) for each in ids]
        query += [("version", asking.version), ("limit", str(PAGE_MAX))]
        query += [("closed", "true")] if asking.closed else []
        found: list[MarketDescription] = []
        cursors: list[str] = []
        for _ in range(PAGES_MAX):
            more = [("after_cursor", cursors[-1])] if cursors else []
            try:
                value = await self._gamma.ask(GAMMA, "/markets/keyset", [*query, *more])
            except HostRefused as error:
                log.warning("Gamma refuses a question.", action="market", name=asking.name, status=error.status)
                return found + await self._halves(asking, ids)
            rows, cursor = _envelope(value)
            found += _described(rows, version=asking.version)
            if not rows or cursor is None or cursor in cursors:
                break
            cursors.append(cursor)
        return found

    async def _halves(self, asking: _Asking, ids: Sequence[str]) -> list[MarketDescription]:
        """A batch again in two halves: one id that Gamma does not take must not hide the others."""
        if len(ids) < 2:
            return []
        half = len(ids) // 2
        return [*await self._pages(asking, ids[:half]), *await self._pages(asking, ids[half:])]


async def open_markets(gamma: Host, version: str) -> list[MarketDescription]:
    """Some open markets of a version: a page of them. Raises HostDown and HostRefused."""
    rows, _cursor = _envelope(
        await gamma.ask(GAMMA, "/markets/keyset", [("version", version), ("limit", str(PAGE_MAX))])
    )
    return _described(rows, version=version)


def _envelope(value: object) -> tuple[Sequence[object], str | None]:
    """The markets of an answer, and where the next page begins. Raises HostDown for what is no page."""
    if isinstance(value, list):
        return value, None
    if not isinstance(value, Mapping):
        raise HostDown("gamma: the answer is no page")
    rows = next((value[name] for name in ("markets", "data") if name in value), None)
    if not isinstance(rows, list):
        raise HostDown("gamma: the answer holds no list of markets")
    cursor = value.get("next_cursor")
    return rows, cursor if isinstance(cursor, str) and cursor not in _NO_CURSORS else None


def _described(rows: Sequence[object], *, version: str) -> list[MarketDescription]:
    found = []
    for row in rows:
        try:
            described = describe_market(row)
        except GammaError as error:
            log.warning("A market of Gamma cannot be read.", action="market", why=str(error))
            continue
        # A row without its version stays without one, and its tokens are read as those of the older.
        if described.version or version == V1:
            found.append(described)
    return found


def _names(each: MarketDescription, asking: _Asking) -> Sequence[str]:
    """The ids by which a market was asked for."""
    return [each.condition_id] if asking.name == "condition_ids" else [str(token) for token in each.tokens or ()]


def _batches(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[begin : begin + BATCH_MAX] for begin in range(0, len(ids), BATCH_MAX))
