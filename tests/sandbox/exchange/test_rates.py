"""How much a signer and an address may ask for, and what the headers say."""

import pytest

from execution.sandbox.exchange.rates import TIERS, AddressRates, SignerRates
from tests.doors import VirtualClock
from tests.sandbox.exchange.traders import floor
from tests.sandbox.stage import ONE

LENA = "0x" + "11" * 20


def _left(rates: SignerRates, cost: int = 1, *, enforced: bool = True) -> tuple[int, int]:
    spent = rates.spend(LENA, "orders", cost, enforced=enforced)
    return int(spent.headers["Poly-RateLimit-Remaining"]), spent.refused_for_s


@pytest.mark.parametrize(("tier", "rate", "burst"), [(tier, *numbers) for tier, numbers in TIERS.items()])
def test_a_tier_has_so_many_at_once_and_so_many_a_second(tier: str, rate: int, burst: int) -> None:
    clock = VirtualClock()
    rates = SignerRates(clock)
    rates.set_tier(LENA, tier)
    assert [_left(rates)[1] for _ in range(burst)] == [0] * burst
    assert _left(rates)[1] == 1
    clock.advance(1)
    assert [_left(rates)[1] for _ in range(rate)] == [0] * rate
    assert _left(rates)[1] == 1


def test_a_batch_passes_as_a_whole_or_not_at_all() -> None:
    rates = SignerRates(VirtualClock())
    assert _left(rates, 50) == (10, 0)
    assert _left(rates, 15) == (10, 1)
    assert _left(rates, 10) == (0, 0)


def test_cancels_have_a_larger_bucket_of_their_own() -> None:
    rates = SignerRates(VirtualClock())
    assert _left(rates, 60) == (0, 0)
    assert rates.spend(LENA, "cancels", 120, enforced=True).refused_for_s == 0
    assert rates.spend(LENA, "cancels", 1, enforced=True).refused_for_s == 1


def test_where_nothing_is_enforced_an_empty_bucket_warns() -> None:
    rates = SignerRates(VirtualClock())
    assert _left(rates, 61, enforced=False) == (0, 0)
    assert "Poly-RateLimit-Warning" in rates.spend(LENA, "orders", 1, enforced=False).headers


def test_there_is_no_tier_of_another_name() -> None:
    with pytest.raises(ValueError, match="Standard"):
        SignerRates(VirtualClock()).set_tier(LENA, "Wood")


def test_an_address_has_windows_of_two_lengths() -> None:
    clock = VirtualClock()
    rates = AddressRates(clock)
    assert [rates.refused_for_s("DELETE /cancel-all") for _ in range(250)] == [0] * 250
    assert rates.refused_for_s("DELETE /cancel-all") > 0
    clock.advance(11)
    assert rates.refused_for_s("DELETE /cancel-all") == 0
    assert rates.refused_for_s("GET /book") == 0


async def test_the_headers_tell_the_tier_and_what_is_left() -> None:
    async with floor(limited=True) as (on, lena):
        on.box.exchange.set_tier(lena.address, "Gold")
        assert (await lena.get("/v1/user/rate-limit-tier"))["tier"] == "Gold"
        body = lena.body(on.box.markets[0], price=50_000, kind="GTC", shares=20 * ONE)
        _, _, headers = await lena.ask("POST", "/order", body)
        assert (headers["Poly-RateLimit-Tier"], headers["Poly-RateLimit-Remaining"]) == ("Gold", "599")
        assert headers["Poly-RateLimit-Reset"] == "1"


async def test_whoever_sends_too_much_is_told_to_wait_and_nothing_is_taken() -> None:
    async with floor(limited=True) as (on, lena):
        market = on.box.markets[0]
        for _ in range(4):
            bodies = [lena.body(market, price=50_000, kind="GTC", shares=20 * ONE) for _ in range(15)]
            assert (await lena.ask("POST", "/orders", bodies))[0] == 200
        bodies = [lena.body(market, price=50_000, kind="GTC", shares=20 * ONE) for _ in range(15)]
        status, _, headers = await lena.ask("POST", "/orders", bodies)
        assert (status, headers["Retry-After"]) == (429, "1")
        assert len(on.box.exchange.orders()) == 60


async def test_a_refused_order_spends_its_token_and_says_so() -> None:
    async with floor(limited=True) as (on, lena):
        body = lena.body(on.box.markets[0], price=505_000, kind="GTC", shares=20 * ONE)
        status, _, headers = await lena.ask("POST", "/order", body)
        assert (status, headers["Poly-RateLimit-Remaining"]) == (400, "59")
