"""Counters of what this package asks and remembers, for Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

MARKETS_CACHED = Gauge("slipstream_markets_cached", "Markets whose description is in memory.")
MARKETS_EVICTED_TOTAL = Counter(
    "slipstream_markets_evicted_total", "Descriptions that left the memory, for room or for age.", ["why"]
)
MARKETS_ASKED_TOTAL = Counter(
    "slipstream_markets_asked_total", "Markets that the venue was asked for, by what came of it.", ["outcome"]
)

_AGE_MS = (5, 20, 50, 100, 250, 500, 1_000, 2_000, 3_000, 4_000, 5_000)

QUOTE_HITS_TOTAL = Counter(
    "slipstream_quote_hits_total", "Questions for a book that were answered from memory.", ["source"]
)
QUOTE_MISSES_TOTAL = Counter(
    "slipstream_quote_misses_total", "Questions that memory could not answer, by what came of them.", ["outcome"]
)
QUOTE_AGE_MS = Histogram(
    "slipstream_quote_age_milliseconds", "How old the books answered were.", ["source"], buckets=_AGE_MS
)
QUOTES_EVICTED_TOTAL = Counter(
    "slipstream_quotes_evicted_total", "Books that left the memory, for room or for age.", ["source", "why"]
)
QUOTES_KEPT = Gauge("slipstream_quotes_kept", "Fetched books in memory.")
BOOKS_STREAMED = Gauge("slipstream_books_streamed", "Books followed on the market channel.")
BOOK_DIVERGENCES_TOTAL = Counter(
    "slipstream_book_divergences_total", "Streamed books that proved wrong and were dropped.", ["found_by"]
)
BOOK_COMPARISONS_TOTAL = Counter(
    "slipstream_book_comparisons_total", "Streamed books held against fetched ones.", ["outcome"]
)
FALLBACK_PRICES_TOTAL = Counter(
    "slipstream_fallback_prices_total", "Times that a leader's price stood in for a book.", ["outcome"]
)
