"""The CLOB's public REST: books with the best level last, that move with the trades."""

from decimal import Decimal
from typing import Any

import pytest

from tests.sandbox.stage import ONE, Stage, micros, stage


async def _book(on: Stage, token_id: int) -> Any:
    return await on.get(f"{on.box.urls.clob}/book", token_id=token_id)


def _prices(levels: list[dict[str, str]]) -> list[Decimal]:
    return [Decimal(each["price"]) for each in levels]


async def test_a_book_has_its_best_level_last_on_both_sides() -> None:
    async with stage() as on:
        for market in on.box.markets:
            book = await _book(on, market.token_ids[0])
            bids, asks = _prices(book["bids"]), _prices(book["asks"])
            assert bids == sorted(bids)
            assert asks == sorted(asks, reverse=True)
            assert bids[-1] < asks[-1]
            assert (book["market"], book["neg_risk"]) == (market.condition_id, market.neg_risk)
            assert micros(Decimal(book["tick_size"])) == market.tick_micros


async def test_outcomes_mirror_each_other() -> None:
    async with stage() as on:
        first, second = [await _book(on, token) for token in on.box.markets[0].token_ids]
        assert [(1 - Decimal(each["price"]), each["size"]) for each in first["bids"]] == [
            (Decimal(each["price"]), each["size"]) for each in second["asks"]
        ]


async def test_a_trade_eats_what_it_took_from_the_best_level() -> None:
    async with stage() as on:
        trade = on.first_trade()
        before = on.box.board.view(trade["token_id"])
        assert before is not None
        offered = before.asks[0]
        await on.box.trade(**trade)
        after = await _book(on, trade["token_id"])
        sizes = {Decimal(each["price"]): micros(Decimal(each["size"])) for each in after["asks"]}
        left = sizes.get(Decimal(offered.price_micros) / ONE)
        # The price may have wandered away; a level that is still there is smaller by the trade.
        assert left in (None, offered.shares_micros - trade["shares_micros"])
        assert after["hash"] != (await _book(on, on.box.markets[1].token_ids[0]))["hash"]
        assert Decimal(after["last_trade_price"]) * ONE == offered.price_micros


async def test_several_books_come_at_once_and_unknown_ones_are_left_out() -> None:
    async with stage() as on:
        tokens = [market.token_ids[0] for market in on.box.markets[:3]]
        body = [{"token_id": str(token)} for token in (*tokens, 12345)]
        async with on.session.post(f"{on.box.urls.clob}/books", json=body) as answer:
            assert [each["asset_id"] for each in await answer.json()] == [str(token) for token in tokens]


async def test_prices_are_texts_of_the_best_levels() -> None:
    async with stage() as on:
        token = on.box.markets[0].token_ids[0]
        book, base = await _book(on, token), on.box.urls.clob
        bid, ask = book["bids"][-1]["price"], book["asks"][-1]["price"]
        assert await on.get(f"{base}/price", token_id=token, side="BUY") == {"price": bid}
        assert await on.get(f"{base}/price", token_id=token, side="sell") == {"price": ask}
        mid = await on.get(f"{base}/midpoint", token_id=token)
        assert Decimal(mid["mid"]) == (Decimal(bid) + Decimal(ask)) / 2
        spread = await on.get(f"{base}/spread", token_id=token)
        assert Decimal(spread["spread"]) == Decimal(ask) - Decimal(bid)


async def test_terms_of_a_market_are_the_compact_ones() -> None:
    async with stage() as on:
        market = on.box.markets[0]
        terms = await on.get(f"{on.box.urls.clob}/clob-markets/{market.condition_id}")
        assert [each["t"] for each in terms["t"]] == [str(token) for token in market.token_ids]
        assert (terms["mts"], terms["mos"], terms["nr"], terms["v"]) == (Decimal("0.01"), 5, False, "v1")
        assert terms["fd"] == {"r": Decimal("0.05"), "e": 1, "to": True}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/ok", "OK"),
        ("/version", {"version": 2}),
        ("/tick-size?token_id={token}", {"minimum_tick_size": Decimal("0.01")}),
        ("/neg-risk?token_id={token}", {"neg_risk": False}),
        ("/fee-rate?token_id={token}", {"base_fee": 1_000}),
    ],
)
async def test_small_questions_have_small_answers(path: str, expected: object) -> None:
    async with stage() as on:
        token = on.box.markets[0].token_ids[0]
        assert await on.get(on.box.urls.clob + path.format(token=token)) == expected


async def test_a_market_is_found_by_its_token_and_the_time_is_the_sandboxs() -> None:
    async with stage() as on:
        market = on.box.markets[0]
        found = await on.get(f"{on.box.urls.clob}/markets-by-token/{market.token_ids[1]}")
        assert found["condition_id"] == market.condition_id
        assert abs(await on.get(f"{on.box.urls.clob}/time") - on.box.world.now_ms() // 1_000) <= 1


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/book?token_id=12345", 404),
        ("/book", 404),
        ("/price?token_id={token}&side=HOLD", 400),
        ("/clob-markets/0x12", 404),
        ("/markets-by-token/x", 404),
        ("/markets/0x12", 404),
    ],
)
async def test_what_is_unknown_is_an_error(path: str, status: int) -> None:
    async with stage() as on:
        token = on.box.markets[0].token_ids[0]
        found, body, _ = await on.ask(on.box.urls.clob + path.format(token=token))
        assert (found, bool(body["error"])) == (status, True)


async def test_an_ended_market_has_no_book_and_names_its_winner() -> None:
    async with stage() as on:
        market = on.box.markets[0]
        await on.box.world.resolve(market, market.token_ids[0])
        assert (await on.ask(f"{on.box.urls.clob}/book", token_id=market.token_ids[0]))[0] == 404
        terms = await on.get(f"{on.box.urls.clob}/markets/{market.condition_id}")
        assert (terms["closed"], [each["winner"] for each in terms["tokens"]]) == (True, [True, False])


async def test_a_stale_book_stays_as_it_was() -> None:
    async with stage() as on:
        trade = on.first_trade()
        before = await _book(on, trade["token_id"])
        await on.box.faults.apply("clob:stale")
        await on.box.trade(**trade)
        assert (await _book(on, trade["token_id"]))["hash"] == before["hash"]
        on.box.faults.lift("clob")
        assert (await _book(on, trade["token_id"]))["hash"] != before["hash"]


@pytest.mark.parametrize(("kind", "status"), [("429", 429), ("5xx", 503)])
async def test_requests_can_be_refused(kind: str, status: int) -> None:
    async with stage() as on:
        await on.box.faults.apply(f"clob:{kind}=1")
        assert (await on.ask(f"{on.box.urls.clob}/ok"))[0] == status
        assert (await on.ask(f"{on.box.urls.clob}/ok"))[0] == 200
