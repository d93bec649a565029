"""The Data API v2: everything that happened, page by page, behind a cache, limits and faults."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from execution.sandbox.data_api import FEED_EVERY_MS
from execution.sandbox.happenings import Move
from tests.doors import VirtualClock
from tests.sandbox.stage import ONE, Stage, micros, raw_answer, shown_in_rows, stage, truth_of_trades

ROW = {
    *("proxy_wallet", "token_id", "condition_id", "side", "size", "price", "timestamp", "transaction_hash", "title"),
    *("slug", "icon", "event_slug", "outcome", "outcome_index", "name", "pseudonym", "bio", "profile_image"),
}


def _trades(on: Stage) -> str:
    return f"{on.box.urls.data_api}/v2/trades"


async def test_trades_of_all_pages_are_the_truth_to_the_last_micro() -> None:
    async with stage() as on:
        await on.box.play(300)
        rows = await on.rows("trades", taker_only="false", limit=50)
        assert shown_in_rows(rows) == truth_of_trades(on.box)
        assert set(rows[0]) == ROW


async def test_cash_of_a_row_is_its_size_times_its_price_within_a_micro_for_each_thousand_dollars() -> None:
    async with stage() as on:
        await on.box.play(300)
        cash = {
            (key.wallet, key.tx_hash, str(key.token_id), key.side): total.cash_micros
            for key, total in on.box.truth.rows()
            if total.fills == 1
        }
        for row in await on.rows("trades", taker_only="false"):
            known = cash.get((row["proxy_wallet"], row["transaction_hash"], row["token_id"], row["side"]))
            if known is not None:
                assert abs(micros(row["size"] * row["price"]) - known) <= 1 + known // (1_000 * ONE)


async def test_only_takers_are_shown_unless_asked_otherwise() -> None:
    async with stage() as on:
        await on.box.play(50)
        takers, all_of_them = await on.rows("trades"), await on.rows("trades", taker_only="false")
        assert Counter(row["transaction_hash"] for row in takers).most_common(1)[0][1] == 1
        assert len(all_of_them) >= 2 * len(takers)


async def test_activity_shows_every_action_of_a_wallet_but_transfers() -> None:
    async with stage() as on:
        await on.box.play(3_000)
        wallet = on.box.leaders[0].wallet
        rows = await on.rows("activity", user=wallet, limit=1_000)
        shown = Counter((row["transaction_hash"], row["type"], row["side"], row["token_id"]) for row in rows)
        known = [key for key, _ in on.box.truth.rows(wallet) if key.kind != "TRANSFER"]
        assert {(each[0], each[1]) for each in shown} == {(key.tx_hash, key.kind) for key in known}
        assert {"TRADE", "SPLIT", "REDEEM"} <= {row["type"] for row in rows}


async def test_rows_that_are_no_trade_have_the_venues_shape() -> None:
    async with stage() as on:
        market, wallet = on.box.markets[0], on.box.leaders[0].wallet
        yes, no = market.token_ids
        await _move(on, "SPLIT", wallet, None)
        await _move(on, "MERGE", wallet, None, shares=ONE // 2)
        await on.box.world.resolve(market, yes)
        for token in (yes, no):
            await _move(on, "REDEEM", wallet, token, shares=ONE // 2)
        rows = {(row["type"], row["token_id"]): row for row in await on.rows("activity", user=wallet)}
        assert rows["SPLIT", ""]["outcome_index"] == rows["MERGE", ""]["outcome_index"] == 999
        won, lost = rows["REDEEM", str(yes)], rows["REDEEM", str(no)]
        assert [(micros(row["size"]), micros(row["usdc_size"])) for row in (won, lost)] == [
            (ONE // 2, ONE // 2),
            (ONE // 2, 0),
        ]
        assert {row["price"] for row in rows.values()} == {0}


async def _move(on: Stage, kind: Any, wallet: str, token_id: int | None, *, shares: int = ONE) -> None:
    condition_id = on.box.markets[0].condition_id
    await on.box.world.happen(
        Move(kind=kind, wallet=wallet, condition_id=condition_id, shares_micros=shares, token_id=token_id)
    )


async def test_cash_of_an_activity_row_is_all_in() -> None:
    async with stage() as on:
        await on.box.trade(**on.first_trade())
        (row,) = await on.rows("activity", user=on.box.leaders[0].wallet)
        ((_, total),) = on.box.truth.rows(on.box.leaders[0].wallet)
        assert total.fee_micros > 0
        assert micros(row["usdc_size"]) == total.cash_micros + total.fee_micros


@pytest.mark.parametrize(
    "query",
    [
        {"offset": 0},
        {"limit": 0},
        {"limit": 1_001},
        {"limit": "x"},
        {"user": "0x1"},
        {"user": "0x" + "1" * 40 + ",0x" + "2" * 40},
        {"cursor": "nonsense"},
        {"side": "HOLD"},
        {"sort_direction": "UP"},
        {"start": "yesterday"},
        {"condition": ",".join("0x" + f"{number:064x}" for number in range(21))},
    ],
)
async def test_what_cannot_be_read_is_refused(query: dict[str, object]) -> None:
    async with stage() as on:
        status, body, _ = await on.ask(_trades(on), **query)
        assert (status, bool(body["error"])) == (400, True)


async def test_a_page_has_a_hundred_rows_unless_asked_and_never_an_offset() -> None:
    async with stage() as on:
        await on.box.play(200)
        page = await on.get(_trades(on), taker_only="false")
        assert len(page["data"]) == 100
        assert page["pagination"]["limit"] == 100
        assert page["pagination"]["offset"] == 0
        assert page["pagination"]["has_more"] is True


async def test_a_cursor_belongs_to_its_filters() -> None:
    async with stage() as on:
        await on.box.play(20)
        page = await on.get(_trades(on), limit=2)
        cursor = page["pagination"]["next_cursor"]
        assert (await on.ask(_trades(on), limit=2, cursor=cursor, side="BUY"))[0] == 400
        assert (await on.ask(_trades(on), limit=3, cursor=cursor))[0] == 200


async def test_new_rows_do_not_move_the_pages_that_follow() -> None:
    clock = VirtualClock()
    async with stage(clock) as on:
        await on.box.play(20)
        page = await on.get(_trades(on), limit=5, taker_only="false")
        expected = await on.rows("trades", taker_only="false")
        clock.advance(1)
        await on.box.play(20)
        cursor = page["pagination"]["next_cursor"]
        onward = await on.get(_trades(on), limit=5, taker_only="false", cursor=cursor)
        assert page["data"] + onward["data"] == expected[:10]


@pytest.mark.parametrize(("direction", "newest_first"), [("DESC", True), ("ASC", False)])
async def test_seconds_are_sorted_and_windows_are_inclusive(direction: str, *, newest_first: bool) -> None:
    clock = VirtualClock()
    async with stage(clock) as on:
        for _ in range(6):
            await on.box.play(3)
            clock.advance(1)
        began = on.box.world.now_ms() // 1_000 - 6
        window = {"start": began + 1, "end": began + 3, "sort_direction": direction, "taker_only": "false"}
        seconds = [row["timestamp"] for row in await on.rows("trades", limit=2, **window)]
        assert seconds == sorted(seconds, reverse=newest_first)
        assert set(seconds) == {began + 1, began + 2, began + 3}


async def test_rows_of_one_second_come_in_another_order_after_the_next_recomputation() -> None:
    clock = VirtualClock()
    async with stage(clock, delay_factor=1.0) as on:
        await on.box.play(30)
        clock.advance(20)
        once, again = await on.rows("trades"), await on.rows("trades")
        clock.advance(FEED_EVERY_MS / 1_000)
        later = await on.rows("trades")
        assert once == again
        assert once != later
        assert shown_in_rows(once) == shown_in_rows(later)


async def test_a_row_is_shown_when_the_feed_is_recomputed_and_not_before() -> None:
    clock = VirtualClock()
    async with stage(clock, delay_factor=1.0) as on:
        event = await on.box.trade(**on.first_trade())
        seen_after_ms = 0
        while not await on.rows("trades"):
            clock.advance(0.25)
            seen_after_ms = on.box.world.now_ms() - event.matched_ms
        assert 2_500 < seen_after_ms < 10_500
        assert on.box.world.now_ms() % FEED_EVERY_MS < 250


async def test_the_cache_repeats_an_answer_until_it_is_too_old_or_its_address_differs() -> None:
    clock = VirtualClock()
    async with stage(clock) as on:
        assert (await on.get(_trades(on)))["data"] == []
        await on.box.trade(**on.first_trade())
        _, repeated, headers = await on.ask(_trades(on))
        assert (repeated["data"], headers["X-Cache"]) == ([], "HIT")
        assert len((await on.get(_trades(on), _=1))["data"]) == 1
        clock.advance(300)
        assert len((await on.get(_trades(on)))["data"]) == 1


async def test_more_than_the_published_requests_are_refused_until_the_window_has_moved() -> None:
    clock = VirtualClock()
    async with stage(clock, limited=True) as on:
        statuses = [(await on.ask(_trades(on), _=number))[0] for number in range(201)]
        assert statuses == [200] * 200 + [429]
        _, _, headers = await on.ask(_trades(on), _="again")
        clock.advance(int(headers["Retry-After"]))
        assert (await on.ask(_trades(on), _="later"))[0] == 200


async def test_positions_are_what_the_wallet_holds_without_dust() -> None:
    async with stage() as on:
        await on.box.play(400)
        for leader in on.box.leaders:
            rows = await on.get(f"{on.box.urls.data_api}/v2/positions", user=leader.wallet, limit=1_000)
            held = on.box.truth.holdings.get(leader.wallet, {})
            assert {row["token_id"]: micros(row["current_size"]) for row in rows["data"]} == {
                str(token): size for token, size in held.items() if size >= 100_000
            }


async def test_positions_tell_cost_price_and_status() -> None:
    async with stage() as on:
        await on.box.trade(**on.first_trade())
        wallet = on.box.leaders[0].wallet
        ((_, total),) = on.box.truth.rows(wallet)
        (row,) = (await on.get(f"{on.box.urls.data_api}/v2/positions", user=wallet))["data"]
        assert micros(row["entry_cost_usdc"]) == total.cash_micros
        assert micros(row["avg_price"]) == total.cash_micros * ONE // total.shares_micros
        assert row["status"] == "OPEN"
        await on.box.world.resolve(on.box.markets[0], on.box.markets[0].token_ids[1])
        (row,) = (await on.get(f"{on.box.urls.data_api}/v2/positions", user=wallet, _=1))["data"]
        assert (row["status"], row["redeemable"], row["current_price"]) == ("REDEEMABLE_LOST", True, 0)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({}, False),
        ({"size_threshold": "0.01"}, True),
        ({"filter_type": "TOKENS", "filter_amount": 0}, True),
        ({"filter_type": "TOKENS", "filter_amount": "0.06"}, False),
        ({"filter_type": "CASH", "filter_amount": "0.000001"}, True),
        ({"filter_type": "CASH", "filter_amount": 1}, False),
    ],
)
async def test_dust_is_left_out_of_positions_unless_asked_for(query: dict[str, object], *, shown: bool) -> None:
    async with stage() as on:
        trade = {**on.first_trade(), "shares_micros": 50_000}
        await on.box.trade(**trade)
        url = f"{on.box.urls.data_api}/v2/positions"
        assert bool((await on.get(url, user=trade["wallet"], status="OPEN", **query))["data"]) is shown


async def test_clamped_paging_repeats_a_page_for_as_long_as_it_lasts() -> None:
    async with stage() as on:
        await on.box.play(20)
        first = await on.get(_trades(on), limit=3)
        await on.box.faults.apply("data-api:clamp")
        cursor = first["pagination"]["next_cursor"]
        for number in range(3):
            page = await on.get(_trades(on), limit=3, cursor=cursor, _=number)
            assert page["data"] == first["data"]
            assert page["pagination"]["has_more"] is True
            cursor = page["pagination"]["next_cursor"]
        on.box.faults.lift("data-api")
        page = await on.get(_trades(on), limit=3, cursor=cursor, _="healed")
        assert page["data"] == (await on.rows("trades"))[3:6]


async def test_a_stale_cache_shows_nothing_new_whatever_the_address() -> None:
    async with stage() as on:
        await on.box.trade(**on.first_trade())
        await on.box.faults.apply("data-api:stale")
        await on.box.trade(**on.first_trade())
        assert len(await on.rows("trades")) == 1
        on.box.faults.lift("data-api")
        assert len(await on.rows("trades")) == 2


async def test_dropped_rows_are_missing_from_one_answer_and_there_in_the_next() -> None:
    async with stage() as on:
        await on.box.play(20)
        everything = await on.rows("trades")
        await on.box.faults.apply("data-api:drop=2")
        assert len((await on.get(_trades(on), _="faulty"))["data"]) == len(everything) - 2
        assert (await on.get(_trades(on), _="healed"))["data"] == everything


async def test_reordered_rows_are_the_same_rows() -> None:
    async with stage() as on:
        await on.box.play(40)
        everything = await on.rows("trades")
        await on.box.faults.apply("data-api:reorder=1")
        shuffled = (await on.get(_trades(on), _="faulty"))["data"]
        assert shuffled != everything
        assert sorted(map(str, shuffled)) == sorted(map(str, everything))


@pytest.mark.parametrize(("kind", "status"), [("429", 429), ("5xx", 503)])
async def test_the_next_requests_can_be_refused(kind: str, status: int) -> None:
    async with stage() as on:
        await on.box.faults.apply(f"data-api:{kind}=2")
        answers = [await on.ask(_trades(on), _=number) for number in range(3)]
        assert [each[0] for each in answers] == [status, status, 200]
        assert ("Retry-After" in answers[0][2]) is (status == 429)


async def test_a_connection_can_end_without_an_answer() -> None:
    async with stage() as on:
        await on.box.faults.apply("data-api:disconnect=1")
        assert await raw_answer(_trades(on)) == b""
        assert (await raw_answer(_trades(on))).startswith(b"HTTP/1.1 200")


async def test_a_half_open_door_never_answers_and_ends_without_a_word_when_it_is_lifted() -> None:
    async with stage() as on:
        await on.box.faults.apply("data-api:half-open")
        asking = asyncio.create_task(raw_answer(_trades(on)))
        done, _ = await asyncio.wait({asking}, timeout=0.05)
        assert not done
        on.box.faults.lift("data-api")
        assert await asking == b""
        assert (await on.ask(_trades(on)))[0] == 200


async def test_a_delayed_answer_takes_its_time() -> None:
    clock = VirtualClock()
    async with stage(clock) as on:
        before = clock.monotonic_ms()
        await on.box.faults.apply("data-api:delay=3s,1")
        await on.get(_trades(on))
        assert clock.monotonic_ms() - before == 3_000
