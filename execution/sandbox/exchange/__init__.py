"""The private half of the sandbox's CLOB: keys, orders, trades, balances, the user's websocket, and their faults.

It verifies with eth-account and eth-keys and shares no order, rounding or signing code with the engine. A test holds
`sandbox.exchange` (class `Exchange` of `execution/sandbox/exchange/desk.py`); its REST is under `sandbox.urls.clob`
beside the public one, its websocket at `sandbox.urls.user`. Addresses are taken in any letter
case; amounts are micros.

Set the stage (all of it at once, none of it needs the network):

    exchange.fund(wallet, pusd_micros, approve=True)     adds pUSD; with approve, all allowances as the venue asks
    await exchange.give(wallet, token_id, shares_micros) shares, as a transfer that the whole world sees
    await exchange.give_pol(wallet)                      where there is a chain: the fees of a wallet's own transactions
    exchange.allow(wallet, micros=0, spender=None)       sets the pUSD allowance, and approves shares (0: takes it back)
    exchange.approve_shares(wallet, on=False, spender=None)     approves shares alone, or takes it back
    exchange.register_wallet(wallet, owner, signature_type=3)   deposit wallet, proxy (1) or Safe (2); type 0 needs none
    exchange.authorize_session(wallet, session, valid_until_s=...)  a session key on a registered deposit wallet
    exchange.revoke_session(wallet, session)             401 for its keys, its socket closed, its orders cancelled
    exchange.set_tier(address, "Gold"), ban(address), close_only(address)
    exchange.hold_up(condition_id, ms)                   its seconds of delay: marketable orders answer `delayed`
    exchange.times = SettlementTimes(broadcast_ms, mined_ms, confirmed_ms, retrying_ms)   scaled by the delay factor
    exchange.makers_per_trade = 1                        how many resting orders a trade holds before the next begins
    exchange.set_mode(Mode.RESTARTING)                   OPEN, RESTARTING 425, POST_ONLY, CANCEL_ONLY, DISABLED 503
    exchange.cut_users(address=None)                     ends user sockets without a word
    exchange.stop_market(condition_id)                   the market is not yet ready to process new orders
    exchange.miss_heartbeats(address)                    as if the heartbeats of an address had stopped
    exchange.configure(factor=1.0, limited=True)         the factor of all settlement times; keep to rate limits or not

Ask for the truth, by order hash (0x and 64 lower-case digits):

    exchange.order(order_hash)       OrderTruth or None where the venue never took it
    exchange.orders()                all that were ever taken, in order
    exchange.trades(order_hash=None) TradeTruth, all or those that an order is part of
    exchange.received[order_hash]    how often the bytes of an order arrived at POST /order(s), taken or not
    exchange.requests["POST /order"] requests by method and path, counted as they arrive
    exchange.cash(wallet), exchange.shares(wallet, token_id), exchange.free(wallet, token_id=None)
    await exchange.settled()         returns when no trade is on its way any more

The books are the Board's: what orders eat grows back with the next trade of the market, or at once where a side is
empty. An order of several prices is several trades. Shares that were bought can be sold once their trade is MINED.

Faults of the door "clob-orders", with counts, shares and times as at every door (`clob-orders:reject=1`), by
`sandbox.faults.apply` or POST /_sandbox/faults. Of an order that is otherwise good:

    accept_then_timeout=1,30s   taken, and no answer for so long, then the connection ends
    accept_then_cut             taken, and the connection ends at once
    accept_then_500             taken, and answered 500 `order timed out`
    duplicate                   taken, and answered 400 `Duplicated.`
    slow=1,2s                   taken at once, answered late
    reject                      400 with a reason; reject_quietly: 200, success, and an empty id
    delay=1,500ms               `delayed`, and matched only then
    partial                     half of what the book would give is matched; a FOK is answered as killed all the same
    match_then_fail=1           MATCHED, RETRYING, FAILED: each trade takes one of the count
    error_500                   not taken, 500 `could not run the execution`
    restart_425, post_only_503, cancel_only_503, disabled_503, too_many_429     as the modes, strike by strike
    hide=1,2s                   the order and its trades are not shown at /data for so long

The stream of the user sockets has its own door "user" with the faults of streams (drop, duplicate, delay, ...), the
answers of /data, /auth and /balance-allowance the door "clob-account" (delay, 429, 5xx, disconnect, half-open).

Another process does the same over HTTP: POST /_sandbox/exchange with `{"do": "fund", "wallet": ..., ...}` in the words
above, GET /_sandbox/exchange for orders, trades and counts (`execution/sandbox/exchange/page.py`).
"""
