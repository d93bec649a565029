"""A Polymarket-compatible world on loopback. It shares no parsing, order or signing code with the engine, so that the
two can disagree.
"""
