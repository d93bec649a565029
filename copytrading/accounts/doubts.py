"""What may be held against an account, and what it is about: the venue's words, or a mere sign. Pure.

Words against the account itself stop it; a doubt about its credentials is only a reason to ask the venue about them.
"""

from dataclasses import dataclass
from enum import Enum

ABOUT_CREDENTIALS = ("credentials were refused", "unauthorized", "invalid api key", "no api credentials")
"""Words of the venue's that new credentials may answer; all others are said against the account itself."""

INVALID_SIGNATURE = "invalid signature"


class About(Enum):
    """What is in doubt."""

    CREDENTIALS = "credentials"
    KEY = "key"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Something against an account; `why` is for people, and nothing is concluded from its words."""

    about: About
    why: str


def said(sentence: str) -> Doubt:
    """The doubt that the venue's own words raise when it refuses an order of the account with them."""
    text = sentence.lower()
    if any(words in text for words in ABOUT_CREDENTIALS):
        return Doubt(about=About.CREDENTIALS, why=sentence)
    return Doubt(about=About.KEY if INVALID_SIGNATURE in text else About.ACCOUNT, why=sentence)
