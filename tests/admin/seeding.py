"""Many rows at once, made by the database itself: for tests of how lists and pages behave when tables are large."""

from django.db import connection

PEOPLE = 100
"""Followers; each copies each of the LEADERS."""

LEADERS = 10
COPIES_OF_ONE = PEOPLE
"""Copies of one signal: one for each follower."""

_STATEMENTS = (
    """
    INSERT INTO copytrading_leader (wallet, name, holdings_complete, created_at)
    SELECT '0x' || substr(md5('leader' || n) || md5(n::text), 1, 40), 'Leader ' || n, false, now() - interval '90 days'
    FROM generate_series(1, %(leaders)s) n
    """,
    """
    INSERT INTO copytrading_follower (wallet, name, mode, created_at)
    SELECT '0x' || substr(md5('follower' || n) || md5(n::text), 1, 40), 'Follower ' || n, 'PAPER',
           now() - interval '90 days'
    FROM generate_series(1, %(people)s) n
    """,
    """
    INSERT INTO copytrading_copyconfig ({config_columns})
    SELECT {config_values}, f.id, l.id, 1, now() - interval '80 days'
    FROM copytrading_follower f CROSS JOIN copytrading_leader l ORDER BY l.id, f.id
    """,
    """
    INSERT INTO execution_market (condition_id, version, title, slug, first_token_id, second_token_id, first_outcome,
        second_outcome, neg_risk, accepting_orders, closed, tick_micros, min_size_micros, fee_rate_bps, fee_exponent,
        category, first_price_micros, second_price_micros)
    SELECT '0x' || md5('market' || n) || md5(n::text), 'v1', 'Will it rain on day ' || n || '?', 'rain-' || n, 2 * n,
           2 * n + 1, 'Yes', 'No', false, true, false, 10000, 5000000, 0, 1, '', 550000, 450000
    FROM generate_series(1, 50) n
    """,
    """
    INSERT INTO copytrading_signalgroup (key, leader_id, kind, tx_hash, condition_id, token_id, side,
        acted_size_micros, acted_notional_micros, parts, traded_at, created_at)
    SELECT md5('group' || n), l.id, 'TRADE', '0x' || md5('tx' || n) || md5(n::text), m.condition_id,
           m.first_token_id, 'BUY', 1000000000, 500000000, 1, t.at, t.at
    FROM generate_series(1, %(signals)s) n
    JOIN LATERAL (SELECT now() - (%(signals)s - n) * interval '60 days' / %(signals)s AS at) t ON true
    JOIN (SELECT id, row_number() OVER (ORDER BY id) AS k FROM copytrading_leader) l ON l.k = n %% %(leaders)s + 1
    JOIN (SELECT *, row_number() OVER (ORDER BY id) AS k FROM execution_market) m ON m.k = n %% 50 + 1
    ORDER BY n
    """,
    """
    INSERT INTO copytrading_signal (group_id, leader_id, part, source, side, token_id, condition_id, size_micros,
        total_size_micros, price_micros, traded_at, detected_at, done_at, attempts, dropped_reason)
    SELECT g.id, g.leader_id, 1, 'seed', g.side, g.token_id, g.condition_id, g.acted_size_micros, g.acted_size_micros,
           500000, g.traded_at, g.traded_at + interval '2 seconds', g.traded_at + interval '3 seconds', 0, ''
    FROM copytrading_signalgroup g ORDER BY g.id
    """,
    """
    INSERT INTO copytrading_copytrade ({trade_columns})
    SELECT {trade_values}
    FROM (SELECT s.*, row_number() OVER (ORDER BY s.id) AS k FROM copytrading_signal s) s
    JOIN copytrading_copyconfig c ON c.leader_id = s.leader_id
    ORDER BY s.id, c.id
    """,
    """
    INSERT INTO guardrails_guardrailevent (reason, value, "limit", unit, trade_id, subject, created_at)
    SELECT reasons->0->>'reason', 3000000, 5000000, 'shares', id, '', decided_at
    FROM copytrading_copytrade WHERE status = 'SKIPPED' ORDER BY id
    """,
    """
    INSERT INTO execution_position (follower_id, token_id, condition_id, size_micros, reserved_micros, cost_micros,
        realised_micros, fees_micros)
    SELECT f.id, m.first_token_id, m.condition_id, 200000000, 0, 100000000, 5000000, 10000
    FROM copytrading_follower f CROSS JOIN execution_market m
    """,
)

_TRADE = {
    "config_id": "c.id",
    "signal_id": "s.id",
    "follower_id": "c.follower_id",
    "leader_id": "s.leader_id",
    "config_version": "1",
    "mode": "'PAPER'",
    "side": "s.side",
    "token_id": "s.token_id",
    "condition_id": "s.condition_id",
    "leader_size_micros": "s.size_micros",
    "leader_price_micros": "s.price_micros",
    "idempotency_key": "md5(c.id || '-' || s.id)",
    "detected_at": "s.detected_at",
    "decided_at": "s.detected_at + interval '20 milliseconds'",
    # Two of three are executed; every three hundredth failed; the rest was skipped.
    "status": "CASE WHEN (c.id + s.k) %% 300 = 0 THEN 'FAILED' WHEN (c.id + s.k) %% 3 > 0 THEN 'EXECUTED' "
    "ELSE 'SKIPPED' END",
    "reasons": """CASE WHEN (c.id + s.k) %% 300 = 0 THEN '[{"reason": "NO_FILL", "value": null, "limit": null,
        "unit": ""}]'::jsonb WHEN (c.id + s.k) %% 3 > 0 THEN '[]'::jsonb WHEN (c.id + s.k) %% 2 = 0 THEN
        '[{"reason": "BELOW_MINIMUM", "value": 3000000, "limit": 5000000, "unit": "shares"}]'::jsonb ELSE
        '[{"reason": "PRICE_DEVIATION", "value": 600, "limit": 200, "unit": "bps"}]'::jsonb END""",
}

_SENT = "((c.id + s.k) %% 3 > 0 OR (c.id + s.k) %% 300 = 0)"
_FILLED = "((c.id + s.k) %% 3 > 0 AND (c.id + s.k) %% 300 > 0)"

_TRADE |= {
    "order_hash": f"CASE WHEN {_SENT} THEN '0x' || md5('o' || c.id || '-' || s.id) || md5(s.id::text) END",
    "size_micros": f"CASE WHEN {_SENT} THEN 100000000 ELSE 0 END",
    "limit_micros": f"CASE WHEN {_SENT} THEN 510000 ELSE 0 END",
    "salt": f"CASE WHEN {_SENT} THEN 1 END",
    "order_timestamp_ms": f"CASE WHEN {_SENT} THEN 1 END",
    "maker_amount": f"CASE WHEN {_SENT} THEN 51000000 END",
    "taker_amount": f"CASE WHEN {_SENT} THEN 100000000 END",
    "expires_at": f"CASE WHEN {_SENT} THEN s.detected_at + interval '600 seconds' END",
    "lock_token": f"CASE WHEN {_SENT} THEN md5('lock') ELSE '' END",
    "domain": f"CASE WHEN {_SENT} THEN 'CTF_V2' ELSE '' END",
    "prewritten_at": f"CASE WHEN {_SENT} THEN s.detected_at + interval '27 milliseconds' END",
    "submitted_at": f"CASE WHEN {_SENT} THEN s.detected_at + interval '30 milliseconds' END",
    "executed_at": f"CASE WHEN {_FILLED} THEN s.detected_at + interval '45 milliseconds' * (1 + s.k %% 4) END",
    "fill_size_micros": f"CASE WHEN {_FILLED} THEN 100000000 ELSE 0 END",
    "fill_price_micros": f"CASE WHEN {_FILLED} THEN 500000 + 1000 * (s.k %% 10) ELSE 0 END",
    "fill_cost_micros": f"CASE WHEN {_FILLED} THEN 50000000 ELSE 0 END",
}


def seed_copies(copies: int) -> None:
    """Make so many copies (a multiple of COPIES_OF_ONE) of LEADERS by PEOPLE over sixty days. Postgres only.

    The trigger on the states lets rows be born only in the first of them, so it sleeps meanwhile.
    """
    counts = {"people": PEOPLE, "leaders": LEADERS, "signals": copies // COPIES_OF_ONE}
    configs, trades = _columns("copytrading_copyconfig", {}), _columns("copytrading_copytrade", _TRADE)
    own = ("follower_id", "leader_id", "version", "created_at")
    plain = {name: value for name, value in configs.items() if name not in own}
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE copytrading_copytrade DISABLE TRIGGER USER")
        for statement in _STATEMENTS:
            text = statement.replace("{config_columns}", ", ".join([*plain, *own]))
            text = text.replace("{config_values}", ", ".join(plain.values()))
            text = text.replace("{trade_columns}", ", ".join(trades))
            text = text.replace("{trade_values}", ", ".join(trades.values()))
            cursor.execute(text, counts)
        # Inside a test's transaction the foreign keys wait for its end, and a table with such events cannot be altered.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE copytrading_copytrade ENABLE TRIGGER USER")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        cursor.execute("ANALYZE")


def _columns(table: str, given: dict[str, str]) -> dict[str, str]:
    """Every column that must not be empty, with something harmless where nothing is given."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s "
            "AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO'",
            [table],
        )
        needed = dict(cursor.fetchall())
    harmless = {"boolean": "true", "jsonb": "'[]'::jsonb", "timestamp with time zone": "now()"}
    found = dict(given)
    for name, kind in needed.items():
        if name not in found:
            found[name] = "''" if kind.startswith("character") else harmless.get(kind, "0")
    return {name: _CONFIG.get(name, value) if table.endswith("config") else value for name, value in found.items()}


_CONFIG = {
    "sizing": "'PERCENTAGE'",
    "percentage_bps": "1000",
    "sell_percentage_bps": "10000",
    "slippage_bps_max": "200",
    "slippage": "'FIXED'",
    "fee_bps_max": "1000",
    "order_type": "'FAK'",
    "below_minimum": "'SKIP'",
    "sides": "'BOTH'",
    "direction": "'SAME'",
    "sell_sizing": "'SAME_PERCENT'",
    "on_stop": "'HOLD'",
}
