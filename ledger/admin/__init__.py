"""Admin pages of the ledger, and what the admin pages of every floor share: money in people's units, read-only records.

Nothing here decides: pages show rows, and what operators may change goes through an operation of its package.
"""

from ledger.admin import log, money
from ledger.admin.columns import Column, dollars, percent, price, shares, short, titled
from ledger.admin.fields import DollarField
from ledger.admin.lists import moments_of
from ledger.admin.records import AuditedAdmin, RecordAdmin
from ledger.texts import NOTHING, dollar_text, price_text, share_text

__all__ = [
    "NOTHING",
    "AuditedAdmin",
    "Column",
    "DollarField",
    "RecordAdmin",
    "dollar_text",
    "dollars",
    "log",
    "moments_of",
    "money",
    "percent",
    "price",
    "price_text",
    "share_text",
    "shares",
    "short",
    "titled",
]
