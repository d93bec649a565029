"""`benchmark signing`: what building and signing one order costs, by signature type, and with the official client."""

import json
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module, util
from types import SimpleNamespace
from typing import Any

from copytrading.benchmarks.runs import Unfinished
from copytrading.metrics import percentile
from execution.orders import CHAIN_ID, EXCHANGES, ZERO_BYTES32, ExchangeDomain, OrderDraft, build_plan
from execution.signing import LocalSigner, address_of, sign_order
from ledger.clock import CpuClock
from ledger.system import SeededRandomness, SystemCpuClock, tuned_interpreter
from ledger.units import ONE, SHARE_STEP, Micros, Side

Write = Callable[[str], object]

ORDERS, OFFICIAL_ORDERS, WARM_UP = 3_000, 200, 100
BOUND_US = 150
OFFICIAL = "py_clob_client_v2"
KEY = bytes.fromhex("11" * 32)
TICK, SENT_MS = 10_000, 1_795_262_400_123


@dataclass(frozen=True, slots=True, kw_only=True)
class OfKind:
    """Microseconds of CPU time to build and sign one order of a kind."""

    mean_us: float
    p50_us: float
    p99_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """By kind of account; `official_us` the official client's means, empty where it is not installed."""

    orders: int
    bound_us: int
    kinds: Mapping[str, OfKind]
    official_us: Mapping[str, float]

    @property
    def within(self) -> bool:
        """Whether every kind takes less than the bound, on average."""
        return all(each.mean_us < self.bound_us for each in self.kinds.values())


def add_arguments(parser: ArgumentParser) -> None:
    """The subcommand's options."""
    parser.add_argument("--orders", type=int, default=ORDERS, help=f"of each kind (default {ORDERS})")
    parser.add_argument("--json", action="store_true", help="print one JSON line and nothing else")


def run(options: Mapping[str, Any], write: Write) -> None:
    """Measure and print. Raises Unfinished."""
    if options["orders"] < WARM_UP:
        raise Unfinished(f"At least {WARM_UP} orders of each kind are needed.")
    with tuned_interpreter():
        measured = measure(options["orders"], SystemCpuClock())
    told = {**asdict(measured), "within": measured.within}
    write(json.dumps(told, separators=(",", ":")) if options["json"] else sentence_of(measured))


def sentence_of(measured: Measured) -> str:
    """The figures for people."""
    ours = "; ".join(
        f"{kind} {each.mean_us} us (p50 {each.p50_us}, p99 {each.p99_us})" for kind, each in measured.kinds.items()
    )
    verdict = "within" if measured.within else "not within"
    told = f"Build and sign one order, of {measured.orders} each: {ours}: {verdict} {measured.bound_us} us."
    if not measured.official_us:
        return f"{told} The official client is not installed."
    official = "; ".join(f"{kind} {mean} us" for kind, mean in measured.official_us.items())
    return f"{told} The official client: {official}."


def measure(orders: int, cpu: CpuClock) -> Measured:
    """Ours for each kind of account, then the official client's where it can be imported."""
    owner, wallet = address_of(KEY), "0x" + "22" * 20
    signer = LocalSigner({owner: KEY})
    kinds = {
        "type 0": (owner, owner, 0, False),
        "type 1": (wallet, owner, 1, False),
        "type 2": (wallet, owner, 2, False),
        "type 3": (wallet, wallet, 3, False),
        "session": (wallet, wallet, 3, True),
    }
    found = {}
    for kind, (maker, by, signature_type, session) in kinds.items():
        drafts = _drafts(orders + WARM_UP, maker=maker, signer=by, signature_type=signature_type)

        def sign(draft: OrderDraft, session: bool = session) -> bytes:
            return sign_order(signer, build_plan(draft), wallet=owner, session=session)

        found[kind] = _of_kind(_each_us(sign, drafts, cpu))
    return Measured(orders=orders, bound_us=BOUND_US, kinds=found, official_us=_official(cpu))


def _drafts(count: int, *, maker: str, signer: str, signature_type: int) -> list[OrderDraft]:
    chance, domains = SeededRandomness(5), tuple(ExchangeDomain)
    return [
        OrderDraft(
            domain=chance.choice(domains),
            maker=maker,
            signer=signer,
            signature_type=signature_type,
            token_id=chance.below(1 << 255) + 1,
            side=chance.choice((Side.BUY, Side.SELL)),
            size_micros=Micros((500 + chance.below(1_000_000)) * SHARE_STEP),
            limit_micros=Micros((1 + chance.below(99)) * TICK),
            tick_micros=Micros(TICK),
            salt=chance.below(1 << 53),
            timestamp_ms=SENT_MS + number,
            whole_cents=True,
        )
        for number in range(count)
    ]


def _each_us(sign: Callable[[OrderDraft], object], drafts: Sequence[OrderDraft], cpu: CpuClock) -> list[float]:
    taken = []
    for draft in drafts:
        began_ns = cpu.thread_ns()
        sign(draft)
        taken.append((cpu.thread_ns() - began_ns) / 1_000)
    return taken[WARM_UP:]


def _of_kind(taken: Sequence[float]) -> OfKind:
    return OfKind(mean_us=round(sum(taken) / len(taken), 1), p50_us=percentile(taken, 50), p99_us=percentile(taken, 99))


def _official(cpu: CpuClock) -> dict[str, float]:
    if util.find_spec(OFFICIAL) is None:
        return {}
    found = {}
    for signature_type in (0, 3):
        sign = _official_signer(signature_type)
        owner = address_of(KEY)
        drafts = _drafts(OFFICIAL_ORDERS + WARM_UP, maker=owner, signer=owner, signature_type=signature_type)
        taken = _each_us(sign, drafts, cpu)
        found[f"type {signature_type}"] = round(sum(taken) / len(taken), 1)
    return found


def _official_signer(signature_type: int) -> Callable[[OrderDraft], object]:
    """Builds and signs as the official client does; a development dependency, so it is looked for by name."""
    builders = import_module(f"{OFFICIAL}.order_utils.exchange_order_builder_v2")
    key = SimpleNamespace(private_key=KEY.hex(), address=lambda: address_of(KEY))

    def sign(draft: OrderDraft) -> object:
        version, exchange = EXCHANGES[draft.domain]
        client = builders.ExchangeOrderBuilderV2(exchange, CHAIN_ID, key, domain_version=version)
        return client.build_signed_order(
            SimpleNamespace(
                maker=draft.maker,
                signer=draft.signer,
                tokenId=str(draft.token_id),
                makerAmount=str(draft.size_micros),
                takerAmount=str(draft.size_micros * draft.limit_micros // ONE),
                side=0 if draft.side is Side.BUY else 1,
                signatureType=signature_type,
                timestamp=str(draft.timestamp_ms),
                metadata="0x" + ZERO_BYTES32.hex(),
                builder="0x" + ZERO_BYTES32.hex(),
                expiration="0",
            )
        )

    return sign
