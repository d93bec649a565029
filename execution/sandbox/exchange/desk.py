"""The private CLOB as a whole, and what a test may do with it. The words are explained at the package's front door."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from execution.sandbox.board import Board
from execution.sandbox.deployment import Addresses
from execution.sandbox.exchange import account_door, order_door, user_socket
from execution.sandbox.exchange.floor import Floor, FloorParts
from execution.sandbox.exchange.funds import CASH, UNLIMITED, Funds
from execution.sandbox.exchange.gate import Gate
from execution.sandbox.exchange.heartbeats import Heartbeats
from execution.sandbox.exchange.intake import Intake
from execution.sandbox.exchange.keys import Keys
from execution.sandbox.exchange.order_door import Mode
from execution.sandbox.exchange.records import OrderTruth, TradeTruth, truth_of_order, truth_of_trade
from execution.sandbox.exchange.settling import SettlementTimes, Settling
from execution.sandbox.exchange.wallets import DEPOSIT, Wallets
from execution.sandbox.faults import Faults
from execution.sandbox.happenings import Move
from execution.sandbox.later import Later
from execution.sandbox.serving import Server
from execution.sandbox.trading import Trading
from execution.sandbox.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskParts:
    """What the sandbox gives to its private CLOB."""

    world: World
    server: Server
    faults: Faults
    board: Board
    trading: Trading
    later: Later
    seed: int


class Exchange:
    """Everything behind the API keys. Nothing here is a coroutine but what waits for the world."""

    def __init__(self, parts: DeskParts) -> None:
        world, faults = parts.world, parts.faults
        self._world = world
        self._trading = parts.trading
        self.keys = Keys(parts.seed)
        self.wallets = Wallets()
        self.funds = Funds(world.truth, Addresses().exchanges)
        self._settling = Settling(world, parts.later, self.funds)
        order_faults = faults.door(order_door.DOOR, kinds=order_door.KINDS)
        self.floor = Floor(
            FloorParts(
                world=world,
                board=parts.board,
                trading=parts.trading,
                funds=self.funds,
                settling=self._settling,
                later=parts.later,
                faults=order_faults,
            ),
            parts.seed,
        )
        self._intake = Intake(self.floor, self.funds, self.wallets, keys=self.keys, world=world, board=parts.board)
        self._gate = Gate(world, self.keys, self.wallets, limited=True)
        self._door = order_door.OrderDoor(
            parts.server, self._gate, self.floor, intake=self._intake, faults=order_faults, clock=world.clock
        )
        self._heartbeats = Heartbeats(self.floor, parts.later, parts.seed)
        self._open_account_door(parts)
        self.users = self._open_user_socket(parts)

    # --- Setting the stage

    def fund(self, wallet: str, pusd_micros: int, *, approve: bool = True) -> None:
        """Add pUSD; with `approve`, all the approvals that trading needs."""
        self.funds.fund(wallet.lower(), pusd_micros)
        if approve:
            self.allow(wallet)

    async def give(self, wallet: str, token_id: int, shares_micros: int) -> None:
        """Shares from somebody of the crowd, as a transfer that every door shows."""
        move = Move(
            kind="TRANSFER",
            wallet=self._trading.crowd_wallet(),
            condition_id=self._world.market_of[token_id].condition_id,
            shares_micros=shares_micros,
            token_id=token_id,
            other_wallet=wallet.lower(),
        )
        await self._world.happen(move)

    def allow(self, wallet: str, micros: int = UNLIMITED, *, spender: str | None = None) -> None:
        """Set the allowance of pUSD, and with it the approval of shares, for one exchange or all. 0 takes them back."""
        self.funds.allow(wallet.lower(), micros, spender)

    def approve_shares(self, wallet: str, *, on: bool, spender: str | None = None) -> None:
        """Approve shares for one exchange or all, or take that back; the allowance of pUSD stays as it is."""
        self.funds.approve_shares(wallet.lower(), spender, on=on)

    def stand_beside(self, chain: account_door.WalletsOnChain) -> None:
        """Have the venue read a wallet's approvals from a chain, whenever its owner asks it to look again."""
        self._accounts.on_chain = chain

    async def give_pol(self, wallet: str) -> None:
        """What a wallet pays for its own transactions with. Raises ValueError where there is no chain."""
        if self._accounts.on_chain is None:
            raise ValueError("the sandbox has no chain")
        await self._accounts.on_chain.give_pol(wallet)

    def register_wallet(self, wallet: str, owner: str, *, signature_type: int = DEPOSIT) -> None:
        """Make a proxy (1), Safe (2) or deposit wallet (3) known. Raises ValueError."""
        self.wallets.register(wallet, owner, signature_type=signature_type)

    def authorize_session(self, wallet: str, session: str, *, valid_until_s: int) -> None:
        """Let a session key trade for a registered deposit wallet. Raises ValueError."""
        self.wallets.authorize(wallet, session, valid_until_s=valid_until_s)

    def revoke_session(self, wallet: str, session: str) -> None:
        """At once: its API keys are unknown, its sockets end, its open orders are cancelled. Raises ValueError."""
        self.wallets.revoke(wallet, session)
        for record in self.floor.open_orders(session.lower()):
            self.floor.cancel(record)
        self.users.cut(session.lower())

    def set_tier(self, address: str, tier: str) -> None:
        """A signer's tier; its buckets are full again. Raises ValueError."""
        self._gate.signers.set_tier(address.lower(), tier)

    def ban(self, address: str, *, banned: bool = True) -> None:
        """Refuse all orders of a key or wallet, or no longer."""
        (self._intake.banned.add if banned else self._intake.banned.discard)(address.lower())

    def close_only(self, address: str, *, closed: bool = True) -> None:
        """Let a key or wallet only sell, or buy again."""
        (self._intake.closed_only.add if closed else self._intake.closed_only.discard)(address.lower())

    def hold_up(self, condition_id: str, ms: int) -> None:
        """How long marketable orders of a market are delayed; 0 not at all."""
        self.floor.delays_ms[condition_id] = ms

    def stop_market(self, condition_id: str, *, stopped: bool = True) -> None:
        """Let a market take no new orders, or again."""
        (self._intake.not_ready.add if stopped else self._intake.not_ready.discard)(condition_id)

    def set_mode(self, mode: Mode) -> None:
        """What the matching engine takes from now on."""
        self._door.mode = mode

    def miss_heartbeats(self, address: str) -> None:
        """As if an address that began to send heartbeats had stopped."""
        self._heartbeats.miss(address.lower())

    def cut_users(self, address: str | None = None) -> None:
        """End the user sockets of an address, or all, without a word."""
        self.users.cut(None if address is None else address.lower())

    @property
    def mode(self) -> Mode:
        """What the matching engine takes."""
        return self._door.mode

    @property
    def times(self) -> SettlementTimes:
        """How long trades take from step to step."""
        return self._settling.times

    @times.setter
    def times(self, times: SettlementTimes) -> None:
        self._settling.times = times

    @property
    def makers_per_trade(self) -> int:
        """How many resting orders a trade holds before the next begins."""
        return self.floor.makers_per_trade

    @makers_per_trade.setter
    def makers_per_trade(self, most: int) -> None:
        self.floor.makers_per_trade = most

    def configure(self, *, factor: float, limited: bool) -> None:
        """Scale all times of settlement; keep to the published limits of requests or not."""
        self._settling.factor = factor
        self._gate.limited = limited

    def _open_account_door(self, parts: DeskParts) -> None:
        faults = parts.faults.door(account_door.DOOR, kinds=account_door.KINDS)
        self._accounts = account_door.AccountDoor(
            parts.server,
            self._gate,
            faults,
            account_door.AccountParts(
                world=parts.world,
                keys=self.keys,
                wallets=self.wallets,
                funds=self.funds,
                floor=self.floor,
                intake=self._intake,
                heartbeats=self._heartbeats,
            ),
        )

    def _open_user_socket(self, parts: DeskParts) -> user_socket.UserSocket:
        faults = parts.faults.door(user_socket.DOOR, kinds=user_socket.KINDS)
        users = user_socket.UserSocket(
            parts.world, parts.server, faults, keys=self.keys, wallets=self.wallets, later=parts.later
        )
        users.follow(self.floor, self._settling)
        return users

    # --- The truth

    @property
    def requests(self) -> Counter[str]:
        """Requests by method and path, such as "POST /order"."""
        return self._gate.requests

    @property
    def received(self) -> Counter[str]:
        """How often each order arrived, by its hash, taken or not."""
        return self._intake.received

    def order(self, order_hash: str) -> OrderTruth | None:
        """An order as it stands; None where the venue never took it."""
        record = self.floor.orders.get(order_hash)
        return None if record is None else truth_of_order(record)

    def orders(self) -> tuple[OrderTruth, ...]:
        """All orders that were ever taken, in order."""
        return tuple(truth_of_order(each) for each in self.floor.orders.values())

    def trades(self, order_hash: str | None = None) -> tuple[TradeTruth, ...]:
        """All trades in order, or those that an order is part of, as that order's."""
        found = self.floor.trades.values()
        return tuple(
            truth_of_trade(each, order_hash)
            for each in found
            if order_hash is None or any(part.leg.order_hash == order_hash for part in each.parts)
        )

    def cash(self, wallet: str) -> int:
        """pUSD in the wallet, as the chain says."""
        return self.funds.balance(wallet.lower())

    def shares(self, wallet: str, token_id: int) -> int:
        """Shares in the wallet, as the chain says: what is matched and not mined is not there."""
        return self.funds.balance(wallet.lower(), token_id)

    def free(self, wallet: str, token_id: int | None = None) -> int:
        """pUSD or shares that no open order and no trade on its way holds back."""
        return self.funds.free(wallet.lower(), CASH if token_id is None else token_id)

    async def settled(self) -> None:
        """Return when no trade is on its way any more."""
        await self._settling.idle()

    def as_json(self) -> Mapping[str, object]:
        """All of it, for another process."""
        return {
            "mode": self.mode,
            "requests": dict(self.requests),
            "received": dict(self.received),
            "orders": list(self.orders()),
            "trades": list(self.trades()),
        }
