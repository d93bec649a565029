"""Admin pages of copy trading, one file for each part of the story, as the models have them."""

from copytrading.admin import people, running, signals, trades

__all__ = ["people", "running", "signals", "trades"]
