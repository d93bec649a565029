"""`manage.py benchmark messages`: a small real run. The figures themselves are never judged here."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command


def messages(*words: str) -> str:
    printed = StringIO()
    call_command("benchmark", "messages", *words, stdout=printed)
    return printed.getvalue()


def test_every_message_is_received_and_those_of_a_followed_wallet_are_offered() -> None:
    told: dict[str, Any] = json.loads(messages("--rate", "2000", "--seconds", "1", "--leaders", "10", "--json"))
    assert (told["sent"], told["received"], told["offered"]) == (2_000, 2_000, 2)
    assert all(told[name] > 0 for name in ("screen_us", "decode_us", "message_us", "sent_per_s", "delay_last_ms"))
    assert told["frame_bytes"] > 600


def test_people_read_a_sentence() -> None:
    printed = messages("--rate", "1000", "--seconds", "1", "--leaders", "3")
    assert "concerns none of 3 wallets" in printed and "1000 received, 1 of a followed" in printed


@pytest.mark.parametrize("words", [("--leaders", "0"), ("--rate", "999", "--seconds", "1")])
def test_a_run_that_could_tell_nothing_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="one in so many is followed"):
        messages(*words)
