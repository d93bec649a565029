"""Rows of execution: markets and positions, trading accounts with their sealed secrets, fills."""

from execution.models.accounts import Secret, TradingAccount
from execution.models.fills import VenueFill
from execution.models.markets import Market, Position

__all__ = ["Market", "Position", "Secret", "TradingAccount", "VenueFill"]
