"""Which transactions a signer signs: the approvals that trading needs, and a sentence for everything else."""

import dataclasses
from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.approvals import (
    UNLIMITED,
    Approval,
    ApprovalError,
    MoneyApproval,
    SharesApproval,
    calldata_of,
    contract_of,
    is_given,
    needed_approvals,
    question_of,
    read_approval,
    takes_back,
)
from execution.deployments import AMOY, PUBLISHED
from execution.eip1559 import Transaction, with_digest
from execution.orders import keccak256
from execution.signer.policy import SigningPolicy
from execution.signer.transaction_policy import GAS_MAX, TransactionTerms
from tests.execution.signers import (
    DEPOSIT,
    FAY,
    FRED,
    GWEI,
    POLYGON,
    PROXY,
    SAFE,
    SESSION,
    TERMS,
    approval,
    changed_account,
    policy,
)

STRANGER = "0x" + "5a" * 20
PUSD, TOKENS, POSITIONS = POLYGON.collateral, POLYGON.conditional_tokens, POLYGON.position_manager
E111, E222, E333 = POLYGON.filling_exchanges
ADAPTER = POLYGON.neg_risk_collateral_adapter


def refusal(sent: Transaction, key: str = FAY, rules: SigningPolicy | None = None) -> str | None:
    return (rules or policy()).transaction_refusal(sent, key)


def money(spender: str, amount: int = 10, token: str = PUSD) -> Transaction:
    return approval(MoneyApproval(token=token, spender=spender, amount=amount))


def shares(ledger: str, operator: str, *, approved: bool = True) -> Transaction:
    return approval(SharesApproval(ledger=ledger, operator=operator, approved=approved))


def call(signature: str, *values: Any, to: str = PUSD) -> Transaction:
    """Any function of any contract."""
    types = signature[signature.index("(") + 1 : -1]
    encoded = encode(types.split(",") if types else [], values)
    return approval(to=to, calldata=keccak256(signature.encode())[:4] + encoded)


def test_what_trading_needs_is_seven_approvals_on_polygon() -> None:
    assert set(needed_approvals(POLYGON, amount=7).values()) == {
        *(MoneyApproval(token=PUSD, spender=each, amount=7) for each in (E111, E222, E333)),
        *(SharesApproval(ledger=TOKENS, operator=each, approved=True) for each in (E111, E222, ADAPTER)),
        SharesApproval(ledger=POSITIONS, operator=E333, approved=True),
    }


def test_of_unpublished_contracts_nothing_is_needed_or_signed() -> None:
    needed = needed_approvals(PUBLISHED[AMOY], amount=7).values()
    assert {contract_of(each) for each in needed} == {PUBLISHED[AMOY].conditional_tokens}
    assert "none that this signer signs" in (refusal(approval(), rules=policy(transactions=TransactionTerms())) or "")


@pytest.mark.parametrize("needed", needed_approvals(POLYGON, amount=UNLIMITED).values())
def test_each_of_them_is_signed_and_can_be_taken_back(needed: Approval) -> None:
    assert refusal(approval(needed)) is None
    nobody: dict[str, Any] = {"amount": 0} if isinstance(needed, MoneyApproval) else {"approved": False}
    stranger = {"spender": STRANGER} if isinstance(needed, MoneyApproval) else {"operator": STRANGER}
    assert refusal(approval(dataclasses.replace(needed, **nobody))) is None
    assert refusal(approval(dataclasses.replace(needed, **nobody, **stranger))) is None


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (money(STRANGER), "nobody but the venue's exchanges take pUSD"),
        (money(TOKENS), "nobody but the venue's exchanges take pUSD"),
        (money(POLYGON.exchange_v1), "nobody but the venue's exchanges take pUSD"),
        (money(ADAPTER), "nobody but the venue's exchanges take pUSD"),
        (money(E111, token=POLYGON.usdc_e), "is none that this signer signs transactions for"),
        (money(E111, token=TOKENS), "keeps nothing that this call could approve"),
        (shares(TOKENS, STRANGER), "nobody but the venue's exchanges move shares"),
        (shares(TOKENS, E333), "nobody but the venue's exchanges move shares"),
        (shares(POSITIONS, E111), "nobody but the venue's exchanges move shares"),
        (shares(PUSD, E111), "keeps nothing that this call could approve"),
        (money(E111, 0, token=TOKENS), "keeps nothing that this call could approve"),
        (call("transfer(address,uint256)", STRANGER, 1), "neither approve nor setApprovalForAll"),
        (call("transferFrom(address,address,uint256)", FAY, STRANGER, 1), "neither approve nor"),
        (call("increaseAllowance(address,uint256)", E111, 1), "neither approve nor"),
        (call("withdraw(uint256)", 1), "neither approve nor"),
        (
            call("safeTransferFrom(address,address,uint256,uint256,bytes)", FAY, STRANGER, 1, 1, b"", to=TOKENS),
            "neither approve nor",
        ),
        (
            call(
                "safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)",
                FAY,
                STRANGER,
                [1],
                [1],
                b"",
                to=TOKENS,
            ),
            "neither approve nor",
        ),
        (
            call("redeemPositions(address,bytes32,bytes32,uint256[])", PUSD, bytes(32), bytes(32), [1], to=TOKENS),
            "neither",
        ),
        (call("approve(address,uint256)", E111, 1, to=E111), "is none that this signer signs transactions for"),
        (call("approve(address,uint256)", E111, 1, to=STRANGER), "is none that this signer signs transactions for"),
        (approval(calldata=b""), "neither approve nor"),
        (approval(calldata=approval().calldata[:3]), "neither approve nor"),
        (approval(calldata=approval().calldata[:-1]), "has 68 bytes of calldata, not 67"),
        (approval(calldata=approval().calldata + b"\x00"), "has 68 bytes of calldata, not 69"),
        (approval(calldata=approval().calldata + bytes(32)), "has 68 bytes of calldata, not 100"),
        (approval(value_wei=1), "sends POL"),
        (approval(chain_id=1), "for chain 137 alone, not for 1"),
        (approval(gas=GAS_MAX + 1), "200001 gas"),
        (approval(gas=0), "asks for 0 gas"),
        (approval(max_fee_per_gas=167 * GWEI), "may cost 11 thousandths of a POL; this signer signs for at most 10"),
        (approval(max_priority_fee_per_gas=101 * GWEI), "priority fee is above"),
        (dataclasses.replace(approval(), digest="0x" + "00" * 32), "not that of the transaction's fields"),
        (dataclasses.replace(approval(), nonce=4), "not that of the transaction's fields"),
        (dataclasses.replace(approval(), nonce=-4), "outside its range"),
        (dataclasses.replace(approval(), to=PUSD.upper().replace("X", "x")), "no address in lower case"),
    ],
)
def test_everything_else_is_refused_with_a_sentence(sent: Transaction, sentence: str) -> None:
    assert sentence in (refusal(sent) or "signed")


def dirty(position: int, byte: int, given: Transaction) -> Transaction:
    """With one byte of padding that is none."""
    calldata = bytearray(given.calldata)
    calldata[position] = byte
    return with_digest(dataclasses.replace(given, calldata=bytes(calldata)))


@pytest.mark.parametrize("position", range(4, 16))
def test_what_hides_in_the_padding_of_an_address_is_refused(position: int) -> None:
    for given_to in (money(E111), shares(TOKENS, E111)):
        assert "not encoded as it must be" in (refusal(dirty(position, 1, given_to)) or "signed")


@pytest.mark.parametrize(("position", "byte"), [(36, 1), (66, 1), (67, 2), (67, 255)])
def test_what_is_neither_true_nor_false_is_refused(position: int, byte: int) -> None:
    assert "not encoded as it must be" in (refusal(dirty(position, byte, shares(TOKENS, E111))) or "signed")


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        (STRANGER, "only a wallet's own key signs transactions"),
        (SESSION, "only a wallet's own key signs transactions"),
        (DEPOSIT, "is no EOA"),
        (PROXY, "is no EOA"),
        (SAFE, "is no EOA"),
    ],
)
def test_only_wallets_that_are_their_own_key_have_transactions(key: str, sentence: str) -> None:
    assert sentence in (refusal(approval(), key) or "signed")
    assert refusal(approval(), FRED.upper().replace("X", "x")) is None


@pytest.mark.parametrize("changes", [{"session": True}, {"signature_type": 3}, {"signer": FRED}])
def test_an_account_of_another_kind_has_none(changes: dict[str, Any]) -> None:
    assert "is no EOA" in (refusal(approval(), rules=changed_account(FAY, **changes)) or "signed")


def test_a_stopped_account_takes_back_and_gives_nothing() -> None:
    stopped = changed_account(FAY, active=False)
    for given_to in (money(E111), shares(TOKENS, E111), approval(calldata=b"")):
        assert refusal(given_to, rules=stopped) == f"The account of {FAY} is stopped."
    assert refusal(money(E111, 0), rules=stopped) is None
    assert refusal(shares(TOKENS, E111, approved=False), rules=stopped) is None


def test_a_bound_on_the_amount_holds_also_for_one_without_end() -> None:
    bounded = policy(transactions=dataclasses.replace(TERMS, amount_max=1_000_000))
    assert refusal(money(E111, 1_000_000), rules=bounded) is None
    for amount in (1_000_001, UNLIMITED):
        assert "approvals of at most $1." in (refusal(money(E111, amount), rules=bounded) or "")


contracts = st.sampled_from([PUSD, TOKENS, POSITIONS, E111, E222, E333, ADAPTER, STRANGER, FAY, POLYGON.exchange_v1])
selectors = st.sampled_from([b"\x09\x5e\xa7\xb3", b"\xa2\x2c\xb4\x65", b"\xa9\x05\x9c\xbb"]) | st.binary(max_size=5)
words = st.integers(0, 2) | st.just(UNLIMITED) | st.integers(0, UNLIMITED)
calldatas = st.builds(
    lambda selector, to, word, tail: selector + bytes(12) + bytes.fromhex(to[2:]) + word.to_bytes(32, "big") + tail,
    selectors,
    contracts,
    words,
    st.just(b"") | st.binary(max_size=33),
) | st.binary(max_size=100)


@settings(max_examples=300)
@given(to=contracts, calldata=calldatas, value=st.integers(0, 1), chain=st.sampled_from([137, 1]))
def test_whatever_is_signed_is_needed_or_takes_back(to: str, calldata: bytes, value: int, chain: int) -> None:
    if refusal(approval(to=to, calldata=calldata, value_wei=value, chain_id=chain)) is not None:
        return
    found = read_approval(to, calldata)
    assert (value, chain, calldata_of(found)) == (0, 137, calldata)
    usual = dataclasses.replace(found, amount=1) if isinstance(found, MoneyApproval) else found
    assert takes_back(found) or usual in needed_approvals(POLYGON, amount=1).values()


@given(st.sampled_from(list(needed_approvals(POLYGON, amount=1).values())), st.integers(0, UNLIMITED), st.booleans())
def test_calldata_is_that_of_eth_abi_and_read_back(needed: Approval, amount: int, approved: bool) -> None:
    if isinstance(needed, MoneyApproval):
        given_to: Approval = dataclasses.replace(needed, amount=amount)
        head, values = "approve(address,uint256)", encode(["address", "uint256"], [needed.spender, amount])
        question = "allowance(address,address)", encode(["address", "address"], [FAY, needed.spender])
    else:
        given_to = dataclasses.replace(needed, approved=approved)
        head, values = "setApprovalForAll(address,bool)", encode(["address", "bool"], [needed.operator, approved])
        question = "isApprovedForAll(address,address)", encode(["address", "address"], [FAY, needed.operator])
    assert calldata_of(given_to) == keccak256(head.encode())[:4] + values
    assert read_approval(contract_of(given_to), calldata_of(given_to)) == given_to
    assert question_of(given_to, FAY) == keccak256(question[0].encode())[:4] + question[1]


def test_answers_of_contracts_are_read_and_nothing_is_guessed() -> None:
    wanted = MoneyApproval(token=PUSD, spender=E111, amount=UNLIMITED)
    one, two = (each.to_bytes(32, "big") for each in (1, 2))
    assert [is_given(wanted, each, enough=2) for each in (one, two, b"", b"\x01")] == [False, True, None, None]
    moved = SharesApproval(ledger=TOKENS, operator=E111, approved=True)
    assert [is_given(moved, each, enough=2) for each in (bytes(32), one, b"")] == [False, True, None]


@given(st.binary(max_size=120))
def test_no_calldata_breaks_the_reading(calldata: bytes) -> None:
    try:
        assert calldata_of(read_approval(PUSD, calldata)) == calldata
    except ApprovalError as error:
        assert str(error).endswith(".")
