"""Token ids are exact on both databases, from 0 to 2^256 - 1, and nothing else is stored."""

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from copytrading.models import LeaderPosition
from execution.models import Position
from ledger.fields import UINT256_MAX, Uint256Field
from ledger.sql import compare_and_set
from tests.factories import LeaderFactory, PositionFactory

EXACT = [0, 1, 2**53 + 1, 2**63, 2**64 - 1, 10**77 + 7, UINT256_MAX - 1, UINT256_MAX]
OUTSIDE = [-1, UINT256_MAX + 1, 10**400]


@pytest.mark.django_db
@pytest.mark.parametrize("token", EXACT, ids=hex)
def test_token_comes_back_as_it_was_stored(token: int) -> None:
    PositionFactory(token_id=token)
    assert Position.objects.get(token_id=token).token_id == token


@pytest.mark.django_db
@pytest.mark.parametrize("token", EXACT, ids=hex)
def test_token_is_found_among_its_neighbours(token: int) -> None:
    leader = LeaderFactory()
    neighbours = [near for near in (token - 1, token, token + 1) if 0 <= near <= UINT256_MAX]
    LeaderPosition.objects.bulk_create(LeaderPosition(leader=leader, token_id=near) for near in neighbours)
    assert list(LeaderPosition.objects.filter(token_id__in=[token]).values_list("token_id", flat=True)) == [token]


@pytest.mark.django_db
def test_upsert_meets_the_row_of_the_same_token() -> None:
    leader = LeaderFactory()
    for size in (1, 2):
        LeaderPosition.objects.bulk_create(
            [LeaderPosition(leader=leader, token_id=UINT256_MAX, size_micros=size)],
            update_conflicts=True,
            unique_fields=["leader", "token_id"],
            update_fields=["size_micros"],
        )
    assert LeaderPosition.objects.get().size_micros == 2


@pytest.mark.django_db
def test_compare_and_set_matches_and_assigns_a_token() -> None:
    row = PositionFactory(token_id=UINT256_MAX)
    changed = compare_and_set(
        Position, match=("id", "token_id"), assign=("token_id",), rows=[(row.pk, UINT256_MAX, UINT256_MAX - 1)]
    )
    row.refresh_from_db()
    assert (changed, row.token_id) == ({row.pk}, UINT256_MAX - 1)


@pytest.mark.django_db
@pytest.mark.parametrize("token", OUTSIDE, ids=["negative", "2^256", "10^400"])
def test_what_is_no_uint256_is_not_stored(token: int) -> None:
    with pytest.raises(ValueError, match="a token id must be an unsigned 256-bit integer"), transaction.atomic():
        PositionFactory(token_id=token)
    assert not Position.objects.exists()


@pytest.mark.django_db
def test_column_is_exact_by_its_type() -> None:
    expected = "numeric(78,0)" if connection.vendor == "postgresql" else "varchar(78)"
    assert Uint256Field().db_type(connection) == expected


@pytest.mark.parametrize("text", ["x", "1.5", "", "-1", str(UINT256_MAX + 1)])
def test_form_input_is_a_token_or_a_sentence(text: str) -> None:
    if not text:
        assert Uint256Field().to_python(text) is None
        return
    with pytest.raises(ValidationError, match=r"whole number|unsigned 256-bit integer"):
        Uint256Field().to_python(text)
