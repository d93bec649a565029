"""The CLOB's short description of a market (`/clob-markets/{condition}`), read as Gamma's long one. Pure.

It says what orders must respect: tokens, tick, minimum, fee; nothing of title, end or volume (polymarket.md 3.2).
"""

from collections.abc import Mapping

from execution.gamma import VERSION_MAX, VERSION_OF_POSITIONS, GammaError, MarketDescription, describe_market

VERSIONS: Mapping[object, str] = {"v1": "v1", "v2": "v2", 1: "v1", 2: "v2", "1": "v1", "2": "v2"}
"""How the field `v` may name a version; nobody has published it. Anything else is kept as said, and refused."""


def describe_clob_market(value: object, *, condition_id: str) -> MarketDescription:
    """Read one decoded answer; the condition is the one that was asked for. Raises GammaError."""
    if not isinstance(value, Mapping):
        raise GammaError("The market is no object.")
    version = _version(value.get("v"))
    tokens = _tokens(value.get("t"))
    row: dict[str, object] = {
        "conditionId": condition_id,
        "version": version,
        "positionIds" if version == VERSION_OF_POSITIONS else "clobTokenIds": [token for token, _name in tokens],
        "outcomes": [name for _token, name in tokens],
        "orderPriceMinTickSize": value.get("mts"),
        "orderMinSize": value.get("mos"),
        "negRisk": value.get("nr"),
        **_fee(value.get("fd")),
    }
    return describe_market(row)


def _version(named: object) -> object:
    """In Gamma's words; what is no known name goes on as it is, for whoever reads it to keep or to call unreadable."""
    if not isinstance(named, str | int) or isinstance(named, bool):  # True would be found as 1
        return named
    if isinstance(named, int) and abs(named) >= 10**VERSION_MAX:
        return named
    return VERSIONS.get(named, str(named))


def _tokens(value: object) -> list[tuple[object, object]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise GammaError("t is no list of tokens.")
    return [(each.get("t"), each.get("o")) for each in value]


def _fee(value: object) -> dict[str, object]:
    if not isinstance(value, Mapping):
        return {}
    return {"feesEnabled": True, "feeSchedule": {"rate": value.get("r"), "exponent": value.get("e")}}
