"""Our contracts: they reproduce from their sources, carry the published names of calls and events, and are strict."""

import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from execution.sandbox.anvil import CONTRACTS, MODULES
from execution.sandbox.artifacts import ARTIFACTS, load, load_conditional_tokens
from execution.sandbox.node import NodeError
from execution.sandbox.on_chain import OnChain, OnChainSettings
from execution.sandbox.position_ids import keccak256
from ledger.system import SystemClock
from tests.sandbox.chain_stage import LENA, ONE, needs_chain

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (MODULES / "solc").is_dir(),
    reason="Node or the compiler is not installed: `make node` installs it, so contracts are not compiled anew here.",
)

# polymarket.md 1.1 and 2.1, the venue's facts of autumn 2026.
EXCHANGE_TOPICS = {
    "OrderFilled": "0xd543adfd945773f1a62f74f0ee55a5e3b9b1a28262980ba90b1a89f2ea84d8ee",
    "OrdersMatched": "0x174b3811690657c217184f89418266767c87e4805d09680c39fc9c031c0cab7c",
    "FeeCharged": "0x55bb3cade9d43b798a4fe5ffdd05024b2d7870df53920673bfc7e68047cd0ab1",
}
TOKEN_TOPICS = {
    "TransferSingle": "0xc3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62",
    "TransferBatch": "0x4a39dc06d4c0dbc64b70af90fd698a233a518aa5d07e595d983b8c0526c8f7fb",
    "PositionSplit": "0x2e6bb91f8cbcda0c93623c54d0403a43514fabc40084ec96b6d5379a74786298",
    "PositionsMerge": "0x6f13ca62553fcc2bcd2372180a43949c1e4cebba603901ede2f4e14f36b282ca",
    "PayoutRedemption": "0x2682012a4a4f1973119f1c9b90745d1bd91fa2bab387344f044cb3586864d18d",
    "ConditionResolution": "0xb44d84d3289691f71497564b85d4233648d9dbae8cbdbb4329f301c3a0185894",
}
CONVERTED = "0xb03d19dddbc72a87e735ff0ea3b57bef133ebe44e1894284916a84044deb367e"
MATCH_ORDERS = "0x3c2b4399"

GOLDEN_KEY = "0x" + "11" * 32
GOLDEN_ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
GOLDEN_WALLET = "0x" + "11" * 20
GOLDEN_TOKEN = 71321045679252212594626385532706912750332728571942532289631379312455583992563
GOLDEN_SIGNATURE = (
    "0x7566cc9dea9d839e36718bdb10c54c28f62c21fd347967d4526e4b9681091d3f"
    "6b8b1dc9cb993f1810facce2420c5c4ebaf49c4d7c3abafd3291fea80bc746eb1c"
)
NO_ONE, NO_BYTES = "0x" + "0" * 40, bytes(32)
ORDER_OF_V3 = (1, NO_ONE, NO_ONE, 1, 1_000_000, 2_000_000, 0, 3, 1791220000, NO_BYTES, NO_BYTES, b"")


def order(maker: str, *, kind: int = 0, signature: str = "0x", **changed: Any) -> tuple[Any, ...]:
    """The order of the golden vectors."""
    fields = {"salt": 12_345, "maker": maker, "signer": maker, "token": GOLDEN_TOKEN, "making": 5_200_000}
    fields |= {"taking": 10_000_000, "side": 0, "kind": kind, "timestamp": 1791220000000}
    fields |= {"metadata": NO_BYTES, "builder": NO_BYTES, "signature": bytes.fromhex(signature[2:])}
    return tuple((fields | changed).values())


def test_artifacts_carry_the_published_names() -> None:
    exchange, adapter = load("ExchangeDouble"), load("NegRiskAdapterDouble")
    assert exchange.selector("matchOrders") == MATCH_ORDERS
    assert exchange.topics == EXCHANGE_TOPICS
    assert adapter.topics == {"PositionsConverted": CONVERTED}


@needs_chain
def test_the_real_conditional_tokens_carry_the_published_names() -> None:
    topics = load_conditional_tokens().topics
    assert {name: topics[name] for name in TOKEN_TOPICS} == TOKEN_TOPICS


@needs_node
def test_contracts_reproduce_from_their_sources_byte_by_byte(tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node is not None
    done = subprocess.run(
        [node, "compile.mjs", str(tmp_path)], cwd=CONTRACTS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_bytes() for path in ARTIFACTS.iterdir()}


def test_artifacts_say_what_made_them() -> None:
    for path in ARTIFACTS.iterdir():
        artifact = json.loads(path.read_text())
        assert artifact["solc"].startswith("0.8.34+") and artifact["settings"]["evmVersion"] == "cancun"
        assert artifact["abi"] and len(artifact["bytecode"]) > len(artifact["deployedBytecode"]) > 1_000


def test_every_source_names_its_licence_and_its_compiler() -> None:
    sources = list((CONTRACTS / "src").glob("*.sol"))
    assert len(sources) > 3
    head = "// SPDX-License-Identifier: MIT\npragma solidity 0.8.34;\n"
    assert [path.name for path in sources if not path.read_text().startswith(head)] == []


def test_the_lock_pins_by_hash_and_names_no_registry() -> None:
    wanted = json.loads((CONTRACTS / "package.json").read_text())
    packages = json.loads((CONTRACTS / "package-lock.json").read_text())["packages"]
    for name, version in {**wanted["devDependencies"], **wanted["optionalDependencies"]}.items():
        assert re.fullmatch(r"[0-9.]+", version) and packages[f"node_modules/{name}"]["version"] == version
    pinned = [entry for name, entry in packages.items() if name]
    assert len(pinned) > 5
    assert all(entry["integrity"].startswith("sha512-") and "resolved" not in entry for entry in pinned)


@asynccontextmanager
async def chain() -> AsyncIterator[OnChain]:
    running = OnChain(SystemClock(), OnChainSettings(block_ms=0))
    await running.start()
    try:
        yield running
    finally:
        await running.close()


async def ask(running: OnChain, to: str, function: str, *arguments: object) -> str:
    data = running.contracts.exchange.call(function, *arguments)
    return await running.node.text("eth_call", {"to": to, "data": data}, "latest")


@needs_chain
async def test_orders_hash_to_the_golden_vectors() -> None:
    async with chain() as running:
        at = running.addresses
        vectors = [
            (
                at.exchange,
                order(GOLDEN_ADDRESS),
                "0x829f484fe8d58daa62b3b065699df8c4b622402da037f4ef3ea3d8b1cf2891ab",
            ),
            (
                at.exchange,
                order(GOLDEN_WALLET, kind=3),
                "0xde68a5eadabb9ba86b48f01b9e9dbbf8c6aa7b20855166d4fe8985aaa7d20d30",
            ),
            (at.exchange_v3, ORDER_OF_V3, "0x529d440652102e5d9aea11536d90c0a43148fc1dc7e80c525de83cd0cfe14040"),
        ]
        for address, each, digest in vectors:
            assert await ask(running, address, "hashOrder", each) == digest


@needs_chain
async def test_each_exchange_has_the_published_domain() -> None:
    async with chain() as running:
        assert [await ask(running, each, "domainSeparator") for each in running.addresses.exchanges] == [
            "0x3264e159346253e26a64e00b69032db0e7d32f94628de3e6eecb50304d7af3d2",
            "0x9b858f53327b0bd13af8ec14cfb35234fb9eb7b0504d1a4e61f433840d30e81a",
            "0x466c63910185bbd55e8679264200c4e0abdcbb0c6264eb3d41d13326022e095b",
        ]


async def refusal_of(running: OnChain, taker: tuple[Any, ...], *makers: tuple[Any, ...], **changed: Any) -> str:
    """The error by which matchOrders of Exchange V3 refuses a match; empty when it takes it."""
    exchange = running.contracts.exchange
    making = [maker[4] for maker in makers]
    given = {"taker_fill": taker[4], "maker_fills": making, "sender": running.operators[0]} | changed
    data = exchange.call(
        "matchOrders", NO_BYTES, taker, list(makers), given["taker_fill"], given["maker_fills"], 0, [0] * len(makers)
    )
    try:
        await running.node.call(
            "eth_call", {"from": given["sender"], "to": running.addresses.exchange_v3, "data": data}
        )
    except NodeError as error:
        return str(error.error.get("data") or error)
    return ""


def signed_for_v3(running: OnChain, key: str = GOLDEN_KEY, **changed: Any) -> tuple[Any, ...]:
    """The golden order, signed for Exchange V3 by eth-account's own typed data."""
    wanted = order(GOLDEN_ADDRESS, **changed)
    names = ("salt", "maker", "signer", "tokenId", "makerAmount", "takerAmount", "side", "signatureType", "timestamp")
    types = ("uint256", "address", "address", "uint256", "uint256", "uint256", "uint8", "uint8", "uint256")
    members = [*zip(names, types, strict=True), ("metadata", "bytes32"), ("builder", "bytes32")]
    domain = {"name": "Polymarket CTF Exchange", "version": "3", "chainId": 137}
    message = encode_typed_data(
        domain | {"verifyingContract": running.addresses.exchange_v3},
        {"Order": [{"name": name, "type": kind} for name, kind in members]},
        {name: value for (name, _), value in zip(members, wanted, strict=False)},
    )
    return (*wanted[:11], bytes(Account.sign_message(message, key).signature))


MAKER = order(LENA, making=10_000_000, taking=5_200_000, side=1, salt=7)


@needs_chain
async def test_a_signature_is_verified_even_where_none_is_asked_for() -> None:
    async with chain() as running:
        assert await refusal_of(running, signed_for_v3(running), MAKER) == ""
        assert "InvalidSignature" in named(await refusal_of(running, signed_for_v3(running, "0x" + "22" * 32), MAKER))
        other_domain = order(GOLDEN_ADDRESS, signature=GOLDEN_SIGNATURE)
        assert "InvalidSignature" in named(await refusal_of(running, other_domain, MAKER))


@needs_chain
async def test_without_leave_an_unsigned_order_is_refused_and_a_signed_one_settles() -> None:
    async with chain() as running:
        await running.allow_unsigned(allowed=False)
        seller = signed_for_v3(running, salt=9, making=10_000_000, taking=5_200_000, side=1)
        assert "InvalidSignature" in named(await refusal_of(running, signed_for_v3(running), MAKER))
        assert await refusal_of(running, signed_for_v3(running), seller) == ""


@needs_chain
@pytest.mark.parametrize(("answer", "refused"), [("1626ba7e", False), ("ffffffff", True), (None, True)])
async def test_a_contract_wallet_says_itself_whether_it_signed(answer: str | None, refused: bool) -> None:
    async with chain() as running:
        if answer is not None:  # code that answers every call with these four bytes
            await running.node.call("anvil_setCode", GOLDEN_WALLET, f"0x63{answer}60e01b5f5260205ff3")
        taker = order(GOLDEN_WALLET, kind=3, signature="0x" + "ab" * 65)
        assert ("InvalidSignature" in named(await refusal_of(running, taker, MAKER))) == refused


@needs_chain
@pytest.mark.parametrize(
    ("error", "taker", "maker", "changed"),
    [
        ("NotOperator", {}, {}, {"sender": LENA}),
        ("LengthsDiffer", {}, {}, {"maker_fills": []}),
        ("Overfilled", {}, {}, {"taker_fill": 5_200_001}),
        ("InvalidOrder", {}, {}, {"taker_fill": 0}),
        ("InvalidOrder", {"side": 2}, {}, {}),
        ("NotMatching", {}, {"token": 5}, {}),
        ("NotMatching", {}, {"side": 0}, {}),
        ("NotCrossing", {}, {"taking": 5_200_002}, {}),
        ("NotCrossing", {"taking": 10_000_001}, {}, {}),
        ("NotCrossing", {}, {"side": 0, "token": 5, "making": 4_799_998, "taking": 10_000_000}, {}),
        ("", {}, {"side": 0, "token": 5, "making": 4_800_000, "taking": 10_000_000}, {}),
        ("", {}, {"taking": 5_200_001}, {}),
    ],
)
async def test_a_match_that_makes_no_sense_is_refused(
    error: str, taker: dict[str, Any], maker: dict[str, Any], changed: dict[str, Any]
) -> None:
    async with chain() as running:
        selling = {"making": 10_000_000, "taking": 5_200_000, "side": 1, "salt": 7} | maker
        refused = await refusal_of(running, order(GOLDEN_ADDRESS, **taker), order(LENA, **selling), **changed)
        assert named(refused) == error


@needs_chain
async def test_only_the_minter_makes_collateral_and_nobody_spends_what_he_lacks() -> None:
    async with chain() as running:
        money, at = running.contracts.collateral, running.addresses.collateral

        async def send(sender: str, function: str, *arguments: object) -> None:
            data = money.call(function, *arguments)
            await running.node.call("eth_call", {"from": sender, "to": at, "data": data}, "latest")

        await send(running.admin, "mint", LENA, 5 * ONE)
        for function, arguments in (("mint", (LENA, 1)), ("transfer", (GOLDEN_ADDRESS, 1))):
            with pytest.raises(NodeError, match="revert"):
                await send(LENA, function, *arguments)
        with pytest.raises(NodeError, match="revert"):
            await send(running.admin, "transferFrom", LENA, GOLDEN_ADDRESS, 1)


def named(refused: str) -> str:
    """The contract's own error by its selector, in the data that comes with a refusal."""
    errors = {
        "Overfilled(bytes32)",
        "InvalidOrder(bytes32)",
        "InvalidSignature(bytes32)",
        *(f"{name}()" for name in ("NotOperator", "LengthsDiffer", "NotMatching", "NotCrossing")),
    }
    found = re.search(r"0x([0-9a-f]{8})", refused)
    return next((each.split("(")[0] for each in errors if found and selector(each) == found[1]), refused)


def selector(signature: str) -> str:
    return keccak256(signature.encode())[:4].hex()
