"""The books: what trades take, what grows back, and how prices and ticks move."""

import pytest

from execution.sandbox.board import DUST_MICROS, FINE_TICK, LEVELS, Board, BookView
from execution.sandbox.markets import CENT, ONE, SandboxMarket, make_markets
from ledger.system import SeededRandomness

MARKET: SandboxMarket = make_markets(1)[0]
YES, NO = MARKET.token_ids


@pytest.fixture
def board() -> Board:
    return Board([MARKET], SeededRandomness(1))


def _view(board: Board, token_id: int = YES) -> BookView:
    view = board.view(token_id)
    assert view is not None
    return view


def test_a_taker_takes_the_best_levels_first_and_no_more_than_there_is(board: Board) -> None:
    asks = _view(board).asks
    wanted = asks[0].shares_micros + 3 * ONE
    taken = board.take(YES, "BUY", wanted)
    assert [(each.price_micros, each.shares_micros) for each in taken] == [
        (asks[0].price_micros, asks[0].shares_micros),
        (asks[1].price_micros, 3 * ONE),
    ]
    assert (
        sum(each.shares_micros for each in board.take(YES, "BUY", 10**15))
        == sum(each.shares_micros for each in asks) - wanted
    )
    assert board.take(YES, "BUY", ONE) == []


def test_buying_one_outcome_takes_what_is_bid_for_the_other(board: Board) -> None:
    best = _view(board, NO).bids[0]
    (taken,) = board.take(YES, "BUY", ONE)
    assert taken.price_micros == ONE - best.price_micros
    assert _view(board, NO).bids[0].shares_micros == best.shares_micros - ONE


def test_dust_is_neither_left_nor_taken(board: Board) -> None:
    first, second = _view(board).asks[:2]
    board.take(YES, "BUY", first.shares_micros - DUST_MICROS + 1)
    assert _view(board).asks[0] == second
    (taken,) = board.take(YES, "BUY", second.shares_micros + DUST_MICROS - 1)
    assert taken == second


def test_books_grow_back_and_never_cross(board: Board) -> None:
    for _ in range(500):
        board.take(YES, "BUY", 10**9)
        board.wander(MARKET)
        view = _view(board)
        assert view.bids[0].price_micros < view.asks[0].price_micros
        assert min(view.bids[-1].price_micros, ONE - view.asks[-1].price_micros) > 0
    assert len(_view(board).asks) == LEVELS


def test_beyond_the_edge_the_tick_becomes_finer_once(board: Board) -> None:
    for _ in range(400):
        board.wander(MARKET, drift=1)
    assert [(each.old_micros, each.new_micros) for each in board.drain_ticks()] == [(CENT, FINE_TICK)]
    assert _view(board).tick_micros == FINE_TICK
    assert board.drain_ticks() == []


def test_changes_tell_both_tokens_and_are_told_once(board: Board) -> None:
    assert board.drain_changes() == []
    best = _view(board).asks[0]
    board.take(YES, "BUY", ONE)
    left = best.shares_micros - ONE
    assert [(each.token_id, each.side, each.price_micros, each.shares_micros) for each in board.drain_changes()] == [
        (YES, "SELL", best.price_micros, left),
        (NO, "BUY", ONE - best.price_micros, left),
    ]
    assert board.drain_changes() == []


def test_an_unknown_token_has_no_book(board: Board) -> None:
    assert board.view(12345) is None
