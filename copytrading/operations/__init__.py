"""Writes, one short transaction each. Every change of state is compare-and-set and counts its rows."""
