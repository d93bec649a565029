"""Admin pages of copy trading, one file for each part of the story, as the models have them."""

from copytrading.admin import accounts, configs, people, running, signals, standings, trades, trading

__all__ = ["accounts", "configs", "people", "running", "signals", "standings", "trades", "trading"]
