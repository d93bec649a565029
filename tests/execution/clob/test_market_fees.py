"""The fee of a fill is that of its market, read once."""

import pytest

from execution.clob.market_fees import FRESH_MS, StoredFees
from execution.fees import NO_FEE, FeeTerms
from execution.models import Market
from tests.doors import InlineDatabase, VirtualClock
from tests.factories import MarketFactory


@pytest.mark.django_db
async def test_both_tokens_of_a_market_have_its_fee() -> None:
    database = InlineDatabase()
    await database.run(MarketFactory, first_token_id=2**255, second_token_id=6, fee_rate_bps=500, fee_exponent=2)
    fees = StoredFees(database, VirtualClock())
    found = [await fees.fee_terms(token) for token in (2**255, 6, 7)]
    assert found == [FeeTerms(rate_bps=500, exponent=2)] * 2 + [None]


@pytest.mark.django_db
async def test_a_fee_is_read_again_after_its_time() -> None:
    database, clock = InlineDatabase(), VirtualClock()
    await database.run(MarketFactory, first_token_id=5, fee_rate_bps=500)
    fees = StoredFees(database, clock)
    await fees.fee_terms(5)
    await database.run(Market.objects.update, fee_rate_bps=700)
    assert await fees.fee_terms(5) == FeeTerms(rate_bps=500)
    clock.advance(FRESH_MS / 1_000)
    assert await fees.fee_terms(5) == FeeTerms(rate_bps=700)


@pytest.mark.django_db
async def test_a_fee_that_was_never_said_is_not_known_and_is_learned() -> None:
    database, told = InlineDatabase(), list[int]()
    await database.run(MarketFactory, first_token_id=5, second_token_id=6, fee_rate_bps=None)
    fees = StoredFees(database, VirtualClock(), learn=told.append)
    assert [await fees.fee_terms(5), await fees.fee_terms(6)] == [None, None]
    await database.run(Market.objects.update, fee_rate_bps=0)
    assert await fees.fee_terms(5) == NO_FEE
    assert told == [5, 6]


@pytest.mark.django_db
async def test_a_market_that_was_unknown_is_asked_for_again() -> None:
    database = InlineDatabase()
    fees = StoredFees(database, VirtualClock())
    assert await fees.fee_terms(5) is None
    await database.run(MarketFactory, first_token_id=5, fee_rate_bps=400)
    assert await fees.fee_terms(5) == FeeTerms(rate_bps=400)
