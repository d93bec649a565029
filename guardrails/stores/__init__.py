"""Shared stores of speed, never of truth: one Protocol each, in memory and on Redis."""
