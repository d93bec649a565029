"""Makes paper followers of wallets, and takes back what it made: for `manage.py follow`.

What was made is known by the followers' wallets, which follow from their numbers; a follower that was renamed since
belongs to whoever named it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models, transaction

from copytrading.models import CopyConfig, CopyConfigVersion, CopyTradeArchive, Follower, Leader, Standing
from copytrading.operations.bulk import set_active
from copytrading.operations.cast import seed_configs, seed_followers, seed_leaders, wallet_named
from guardrails.models import Scope, Switch
from ledger.entries import account, deposit, opposite
from ledger.models import CashBalance, LedgerEntry
from ledger.operations import write_entries

LABEL, NAME = "follow", "Paper follower "
WHO = "manage.py follow"
CHUNK = 500
"""Rows looked at in one transaction of the taking back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What was added; everything else was there already."""

    leaders: int
    followers: int
    configs: int
    activated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenBack:
    """What was removed, and what had to stay because copies or ledger rows name it."""

    configs: int = 0
    followers: int = 0
    leaders: int = 0
    deactivated: int = 0
    followers_kept: int = 0


def follow(wallets: Sequence[str], *, followers: int, cash_micros: int, terms: Mapping[str, Any]) -> Followed:
    """Let the first so many paper followers follow every wallet, all with these terms; one transaction.

    Wallets are valid and in lower case. What exists stays as it is; a config that was taken back is active again.
    """
    with transaction.atomic():
        before = [model.objects.count() for model in (Leader, Follower)]
        leaders = seed_leaders({wallet: short(wallet) for wallet in wallets}, holdings_complete=False)
        names = [f"{NAME}{number}" for number in range(1, followers + 1)]
        rows = seed_followers(names, label=LABEL, cash_micros=cash_micros)
        added = seed_configs(leaders, rows, variety=(terms,))
        # Of what sleeps only what this command put to sleep: an operator's choice stays.
        mine = CopyConfig.objects.filter(versions__version=models.F("version"), versions__changed_by=WHO)
        sleeping = mine.filter(leader__in=leaders, follower__in=rows, active=False)
        activated = set_active(list(sleeping.values_list("pk", flat=True)), active=True, who=WHO, why="followed again")
        after = [model.objects.count() for model in (Leader, Follower)]
    return Followed(
        leaders=after[0] - before[0], followers=after[1] - before[1], configs=added, activated=activated.changed
    )


def made_configs(wallets: Sequence[str] | None) -> list[int]:
    """The configs of followers that `follow` made, of these leaders or (None) of all."""
    configs = CopyConfig.objects.filter(follower__in=[row.pk for row in _made_followers()])
    if wallets is not None:
        configs = configs.filter(leader__wallet__in=wallets)
    return list(configs.order_by("pk").values_list("pk", flat=True))


def deactivate(config_ids: Sequence[int]) -> int:
    """Let these configs copy nothing from now on; engines notice within their config cache's age."""
    done = [set_active(part, active=False, who=WHO, why="taken back").changed for part in _parts(config_ids)]
    return sum(done)


def take_back(config_ids: Sequence[int]) -> TakenBack:
    """Remove these configs, their followers without others and their leaders, where nothing refers to them.

    A follower that never traded gives its pretend deposit back by a second entry: the ledger only grows. Engines
    must have forgotten the configs: `deactivate` them first and let the age of the caches pass.
    """
    leader_ids = set(CopyConfig.objects.filter(pk__in=config_ids).values_list("leader_id", flat=True))
    removed = sum(_remove_configs(part) for part in _parts(config_ids))
    mine = [row.pk for row in _made_followers()]
    followers = sum(_remove_followers(part) for part in _parts(mine))
    return TakenBack(
        configs=removed,
        followers=followers,
        leaders=_remove_leaders(leader_ids),
        deactivated=len(config_ids) - removed,
        followers_kept=len(mine) - followers,
    )


def short(wallet: str) -> str:
    """The name of a leader that nobody named: 0x1234...abcd."""
    return f"{wallet[:6]}...{wallet[-4:]}"


def _made_followers() -> list[Follower]:
    found = []
    for row in Follower.objects.filter(name__startswith=NAME).only("pk", "name", "wallet").order_by("pk"):
        number = row.name.removeprefix(NAME)
        if number.isdecimal() and row.wallet == wallet_named(f"{LABEL}:{int(number) - 1}"):
            found.append(row)
    return found


def _remove_configs(ids: Sequence[int]) -> int:
    with transaction.atomic():
        rows = CopyConfig.objects.select_for_update().filter(pk__in=ids).order_by("pk")
        free = set(rows.values_list("pk", flat=True)) - _referred(CopyConfig, ids, owned=(CopyConfigVersion, Standing))
        free -= set(CopyTradeArchive.objects.filter(config_id__in=ids).values_list("config_id", flat=True))
        for owned in (CopyConfigVersion, Standing):
            owned._default_manager.filter(config_id__in=free).delete()
        CopyConfig.objects.filter(pk__in=free).delete()
    return len(free)


def _remove_followers(ids: Sequence[int]) -> int:
    with transaction.atomic():
        rows = Follower.objects.select_for_update().filter(pk__in=ids).order_by("pk")
        free = set(rows.values_list("pk", flat=True)) - _referred(Follower, ids, owned=(CashBalance,))
        free -= set(CopyTradeArchive.objects.filter(follower_id__in=ids).values_list("follower_id", flat=True))
        switched = Switch.objects.filter(scope=Scope.FOLLOWER, key__in=[str(pk) for pk in free])
        free -= {int(key) for key in switched.values_list("key", flat=True)}
        free -= _moved_money(free)
        balances = CashBalance.objects.select_for_update().filter(follower_id__in=free).order_by("follower_id")
        held = dict(balances.values_list("follower_id", "cash_micros"))
        returned = [opposite(deposit(pk, cash, _deposit_key(pk))) for pk, cash in held.items() if cash]
        write_entries([(entry, None) for entry in returned])
        CashBalance.objects.filter(follower_id__in=free).delete()
        Follower.objects.filter(pk__in=free).delete()
    return len(free)


def _remove_leaders(ids: Iterable[int]) -> int:
    with transaction.atomic():
        rows = Leader.objects.select_for_update().filter(pk__in=ids).order_by("pk")
        made = {row.pk for row in rows if row.name == short(row.wallet)}
        free = made - _referred(Leader, list(made), owned=())
        Leader.objects.filter(pk__in=free).delete()
    return len(free)


def _moved_money(follower_ids: Iterable[int]) -> set[int]:
    """Those of whose cash the ledger knows more than the first deposit."""
    owners = {account(pk, "cash"): pk for pk in follower_ids}
    entries = LedgerEntry.objects.filter(models.Q(debit_account__in=owners) | models.Q(credit_account__in=owners))
    more = entries.exclude(key__in=[_deposit_key(pk) for pk in owners.values()])
    named = {name for pair in more.values_list("debit_account", "credit_account") for name in pair}
    return {owners[name] for name in named & owners.keys()}


def _deposit_key(follower_id: int) -> str:
    return f"first-deposit:{follower_id}"


def _referred(model: type[models.Model], ids: Sequence[int], *, owned: tuple[type[models.Model], ...]) -> set[int]:
    """Which of these rows another row names; `owned` rows go with theirs and do not count."""
    found: set[int] = set()
    for relation in model._meta.related_objects:
        if relation.related_model in owned:
            continue
        name = relation.field.attname
        rows = relation.related_model._default_manager.filter(**{f"{name}__in": list(ids)})
        found |= set(rows.values_list(name, flat=True).distinct())
    return found


def _parts(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (ids[begin : begin + CHUNK] for begin in range(0, len(ids), CHUNK))
