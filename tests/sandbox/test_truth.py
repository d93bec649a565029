"""The truth: exact totals by action, and what everybody holds afterwards."""

import pytest

from execution.sandbox.happenings import Leg, Match, Move, MoveKind, Settled
from execution.sandbox.markets import SandboxMarket, make_markets
from execution.sandbox.truth import Truth, TruthKey

ONE = 1_000_000
MARKETS = {each.condition_id: each for each in make_markets(1)}
MARKET_OF = {token: each for each in MARKETS.values() for token in each.token_ids}
PLAIN = next(each for each in MARKETS.values() if not each.neg_risk)
LINES = [each for each in MARKETS.values() if each.neg_risk]
YES, NO = PLAIN.token_ids
SETTLED = Settled(tx_hash="0xa", block_number=1, block_time_s=1)


@pytest.fixture
def truth() -> Truth:
    return Truth(MARKETS, MARKET_OF)


def _leg(wallet: str, shares: int, *, maker: bool) -> Leg:
    return Leg(
        wallet=wallet,
        side="BUY",
        token_id=NO if maker else YES,
        shares_micros=shares,
        cash_micros=shares // 2,
        fee_micros=0 if maker else 7,
        maker=maker,
        order_hash="0x1",
    )


def _move(kind: MoveKind, *, token_id: int | None = None, market: SandboxMarket = PLAIN, shares: int = ONE) -> Move:
    return Move(
        kind=kind,
        wallet="lena",
        condition_id=market.condition_id,
        shares_micros=shares,
        token_id=token_id,
        other_wallet="fay" if kind == "TRANSFER" else "",
    )


def test_fills_of_one_wallet_in_one_transaction_are_one_group(truth: Truth) -> None:
    legs = (_leg("lena", 3, maker=False), _leg("mo", 1, maker=True), _leg("mo", 2, maker=True))
    truth.add(Match(condition_id=PLAIN.condition_id, version="v1", neg_risk=False, legs=legs), SETTLED)
    lena = truth.totals[TruthKey("lena", "0xa", PLAIN.condition_id, YES, "BUY", "TRADE")]
    mo = truth.totals[TruthKey("mo", "0xa", PLAIN.condition_id, NO, "BUY", "TRADE")]
    assert (lena.shares_micros, lena.fee_micros, lena.fills) == (3, 7, 1)
    assert (mo.shares_micros, mo.fills) == (3, 2)
    assert (truth.held("lena", YES), truth.held("mo", NO), truth.held("mo", YES)) == (3, 3, 0)


def test_a_split_makes_both_tokens_and_a_merge_takes_them(truth: Truth) -> None:
    truth.add(_move("SPLIT"), SETTLED)
    truth.add(_move("MERGE", shares=400_000), SETTLED)
    assert [truth.held("lena", token) for token in (YES, NO)] == [600_000, 600_000]


def test_a_redemption_pays_for_the_winning_token_only(truth: Truth) -> None:
    truth.payouts |= {YES: ONE, NO: 0}
    truth.add(_move("SPLIT"), SETTLED)
    for token in (YES, NO):
        truth.add(_move("REDEEM", token_id=token), SETTLED)
    paid = [total.cash_micros for key, total in truth.rows("lena") if key.kind == "REDEEM"]
    assert paid == [ONE, 0]
    assert truth.held("lena", YES) == truth.held("lena", NO) == 0


def test_a_conversion_turns_no_into_yes_of_each_other_market_of_the_event(truth: Truth) -> None:
    own, *others = LINES
    truth.add(_move("SPLIT", market=own), SETTLED)
    truth.add(_move("CONVERSION", market=own, token_id=own.token_ids[1], shares=300_000), SETTLED)
    assert truth.held("lena", own.token_ids[1]) == 700_000
    assert [truth.held("lena", each.token_ids[0]) for each in others] == [300_000, 300_000]


def test_a_transfer_is_a_group_of_both_wallets(truth: Truth) -> None:
    truth.add(_move("SPLIT"), SETTLED)
    truth.add(_move("TRANSFER", token_id=YES, shares=250_000), SETTLED)
    assert [(key.wallet, key.side) for key, _ in truth.rows() if key.kind == "TRANSFER"] == [
        ("lena", "SELL"),
        ("fay", "BUY"),
    ]
    assert (truth.held("lena", YES), truth.held("fay", YES)) == (750_000, 250_000)


def test_a_reward_moves_no_token(truth: Truth) -> None:
    truth.add(Move(kind="REWARD", wallet="lena", condition_id="", shares_micros=5, other_wallet="mo"), SETTLED)
    assert truth.as_json("lena") == {
        "groups": [
            {
                "wallet": "lena",
                "tx_hash": "0xa",
                "condition_id": "",
                "token_id": "",
                "side": "",
                "kind": "REWARD",
                "shares_micros": 5,
                "cash_micros": 5,
                "fee_micros": 0,
                "fills": 1,
            }
        ],
        "holdings": {"lena": {}},
    }
