from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.wire import DEPTH_MAX, WireError, decode


def test_numbers_keep_every_digit_of_their_text() -> None:
    assert decode(
        b'{"size":10.475000000000001,"n":71321045679252212594626385532706912750332728571942532289631379}'
    ) == {
        "size": Decimal("10.475000000000001"),
        "n": 71321045679252212594626385532706912750332728571942532289631379,
    }


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "no JSON"),
        (b'{"a":', "no JSON"),
        (b"\xff{}", "no UTF-8"),
        (b"[" * (DEPTH_MAX + 1), "nested"),
        (b'{"a":' * 100_000, "nested"),
    ],
)
def test_what_cannot_be_trusted_is_refused_in_a_sentence(body: bytes, sentence: str) -> None:
    with pytest.raises(WireError, match=sentence):
        decode(body)


def test_brackets_inside_a_text_are_no_nesting() -> None:
    title = '[{\\"' * DEPTH_MAX
    assert decode('{"title":"' + title + '"}') == {"title": title.replace("\\", "")}


def test_a_wide_answer_is_no_deep_one() -> None:
    assert decode("[" + ",".join(["{}"] * 500) + "]") == [{}] * 500


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_a_wire_error(body: bytes) -> None:
    try:
        decode(body)
    except WireError as error:
        assert str(error)


def test_an_exponent_without_end_is_no_number_that_fits() -> None:
    assert decode("1e9999999999999999999") == Decimal("Infinity")
