"""A replay that fills against recorded snapshots."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from copytrading.models import CopyTrade

RECORDING = "l2_snapshots_two_btc_15m_markets_20260928.jsonl.gz"
MARKET = "0xfb85ca82aa27f2ae7ea27513c8e341f029168fb664e78f8d82ab585af9af1028"


@pytest.fixture
def one_trade(tmp_path: Path) -> Path:
    """A file with one made-up BUY in a recorded market."""
    row = {
        "proxyWallet": "0x" + "1e" * 20,
        "timestamp": 1790585112,
        "conditionId": MARKET,
        "size": 100,
        "price": 0.51,
        "transactionHash": "0x" + "01" * 32,
        "asset": "70011",
        "side": "BUY",
        "outcome": "Down",
        "outcomeIndex": 1,
    }
    path = tmp_path / "one.json"
    path.write_text(json.dumps([row]))
    return path


@pytest.mark.django_db(transaction=True)
def test_copies_fill_at_the_recorded_best_ask(one_trade: Path, shared_data: Path) -> None:
    answer = StringIO()
    books = shared_data / "books" / RECORDING
    call_command("replay", one_trade, books=books, followers=1, json=True, stdout=answer)
    assert json.loads(answer.getvalue())["copies"] == {"EXECUTED": 1}
    trade = CopyTrade.objects.get()
    assert (trade.fill_price_micros, trade.fill_size_micros) == (510_000, 100_000_000)


@pytest.mark.django_db(transaction=True)
def test_a_missing_recording_is_a_sentence_and_nothing_is_written(one_trade: Path) -> None:
    with pytest.raises(CommandError, match=r"nowhere\.jsonl is no readable recording"):
        call_command("replay", one_trade, books=one_trade.with_name("nowhere.jsonl"), json=True)
    assert not CopyTrade.objects.exists()
