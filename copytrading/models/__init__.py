"""The rows of copy trading, one file for each part of the story: people, signals, trades, standings, running."""

from copytrading.models.people import CopyConfig, CopyConfigVersion, Follower, Leader
from copytrading.models.running import DashboardEvent, DashboardSequence, ShardLease, ShardStandby
from copytrading.models.signals import LeaderPosition, Signal, SignalCursor, SignalGroup, SignalSourceTotal
from copytrading.models.standings import CarriedSize, CopiedPosition, Standing
from copytrading.models.trades import CopyTrade, CopyTradeArchive

__all__ = [
    "CarriedSize",
    "CopiedPosition",
    "CopyConfig",
    "CopyConfigVersion",
    "CopyTrade",
    "CopyTradeArchive",
    "DashboardEvent",
    "DashboardSequence",
    "Follower",
    "Leader",
    "LeaderPosition",
    "ShardLease",
    "ShardStandby",
    "Signal",
    "SignalCursor",
    "SignalGroup",
    "SignalSourceTotal",
    "Standing",
]
