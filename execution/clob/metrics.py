"""Counters of what the CLOB answered, for Prometheus."""

from prometheus_client import Counter

CLOB_ORDERS_TOTAL = Counter(
    "slipstream_clob_orders_total", "Orders posted or held back, by what came of it.", ["outcome"]
)
CLOB_LIMIT_WARNINGS_TOTAL = Counter(
    "slipstream_clob_limit_warnings_total", "Answers with the venue's warning that a signer is near its limit."
)
