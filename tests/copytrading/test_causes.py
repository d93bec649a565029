"""Every reason is explained, and leads to what caused it."""

import pytest

from config import settings
from copytrading.explain.causes import CAUSES, Cause, Place
from copytrading.explain.reasons import EXPLANATIONS
from copytrading.models import CopyConfig, Follower, Leader
from execution.models import Market
from guardrails.intents import Reason

MODELS = {
    Place.CONFIG: CopyConfig,
    Place.STANDING: CopyConfig,
    Place.FOLLOWER: Follower,
    Place.LEADER: Leader,
    Place.MARKET: Market,
}


def test_every_reason_has_an_explanation_and_a_cause() -> None:
    assert set(EXPLANATIONS) == {reason.value for reason in Reason}
    assert set(CAUSES) == {reason.value for reason in Reason}


def test_every_explanation_is_a_sentence() -> None:
    assert [text for text in EXPLANATIONS.values() if not (text[0].isupper() and text.endswith("."))] == []


@pytest.mark.parametrize(("reason", "cause"), CAUSES.items(), ids=CAUSES)
def test_fields_of_a_cause_are_where_it_says(reason: str, cause: Cause) -> None:
    if cause.place is Place.SETTINGS:
        assert all(hasattr(settings, name) for name in cause.fields)
    elif cause.fields:
        columns = {field.name for field in MODELS[cause.place]._meta.fields}
        assert set(cause.fields) <= columns
