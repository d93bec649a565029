"""Secrets at rest: opened by their own name and key alone, moved to another key without being written anew."""

import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from execution.models import Secret
from execution.vault.envelope import Envelope, Kek, SealBroken, Wrapped, open_seal, seal
from execution.vault.keks import NoKeks, TextKeks
from execution.vault.vault import SecretMissing, Vault, VaultError, secret_name
from ledger.hidden import Hidden
from ledger.models import AuditEntry
from ledger.system import SystemEntropy
from tests.canaries import KEKS, OTHER_KEY, PRIVATE_KEY, hidden_keks, kek_text

FAY, FRED = secret_name("PRIVATE_KEY", "0x" + "Fa" * 20), secret_name("PRIVATE_KEY", "0x" + "f0" * 20)
KEK = Kek(version="k1", key=KEKS["k1"])


def vault(*versions: str) -> Vault:
    return Vault(TextKeks(hidden_keks(*(versions or ("k1",)))), SystemEntropy())


def envelope() -> Envelope:
    return seal(PRIVATE_KEY, KEK, name=FAY, version=1, entropy=SystemEntropy())


def test_an_envelope_opens_under_its_name_version_and_key_alone() -> None:
    sealed = envelope()
    assert open_seal(sealed, KEK, name=FAY, version=1) == PRIVATE_KEY
    other = Kek(version="k1", key=KEKS["k2"])
    for kek, name, version in ((KEK, FRED, 1), (KEK, FAY, 2), (other, FAY, 1)):
        with pytest.raises(SealBroken):
            open_seal(sealed, kek, name=name, version=version)


@pytest.mark.parametrize("place", ["nonce", "sealed", "wrapped nonce", "wrapped key"])
def test_every_flipped_bit_is_noticed(place: str) -> None:
    whole = envelope()
    for bit in range(0, 8 * len(_part(whole, place)), 5):
        with pytest.raises(SealBroken):
            open_seal(_flipped(whole, place, bit), KEK, name=FAY, version=1)


def test_the_version_of_the_wrapping_key_cannot_be_renamed() -> None:
    whole = envelope()
    renamed = Wrapped(kek_version="k2", nonce=whole.wrapped.nonce, key=whole.wrapped.key)
    with pytest.raises(SealBroken):
        open_seal(Envelope(nonce=whole.nonce, sealed=whole.sealed, wrapped=renamed), KEK, name=FAY, version=1)


def test_two_seals_of_one_secret_share_no_nonce_and_no_byte_of_the_key() -> None:
    first, second = envelope(), envelope()
    assert len({first.nonce, second.nonce, first.wrapped.nonce, second.wrapped.nonce}) == 4
    assert {len(first.nonce), len(first.wrapped.nonce)} == {12}
    assert first.sealed != second.sealed
    assert PRIVATE_KEY not in first.sealed


@pytest.mark.django_db
def test_a_secret_comes_back_and_a_new_value_takes_its_place() -> None:
    store = vault()
    store.put(FAY, PRIVATE_KEY)
    assert store.open(FAY) == PRIVATE_KEY
    store.put(FAY, OTHER_KEY)
    assert (store.open(FAY), Secret.objects.get().version) == (OTHER_KEY, 2)
    assert store.names("PRIVATE_KEY:") == [FAY]
    assert store.names("API_CREDENTIALS:") == []


@pytest.mark.django_db
def test_nothing_readable_is_stored() -> None:
    vault().put(FAY, PRIVATE_KEY)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM execution_secret")
        (row,) = cursor.fetchall()
    stored = b"".join(bytes(part) for part in row if isinstance(part, bytes | memoryview))
    assert len(stored) == 12 + 48 + 12 + 48
    assert PRIVATE_KEY not in stored and PRIVATE_KEY.hex().encode() not in stored


@pytest.mark.django_db
def test_swapped_rows_open_neither() -> None:
    store = vault()
    store.put(FAY, PRIVATE_KEY)
    store.put(FRED, OTHER_KEY)
    fay, fred = Secret.objects.get(name=FAY), Secret.objects.get(name=FRED)
    for name in ("nonce", "sealed", "wrap_nonce", "wrapped_key"):
        held = (getattr(fay, name), getattr(fred, name))
        setattr(fred, name, held[0])
        setattr(fay, name, held[1])
    fay.save()
    fred.save()
    for name in (FAY, FRED):
        with pytest.raises(VaultError, match="its row was changed"):
            store.open(name)


@pytest.mark.django_db
@pytest.mark.parametrize("parts", [("nonce", "sealed"), ("wrap_nonce", "wrapped_key")], ids=["seal", "wrapped key"])
def test_half_a_row_of_another_secret_opens_nothing(parts: tuple[str, str]) -> None:
    store = vault()
    store.put(FAY, PRIVATE_KEY)
    store.put(FRED, OTHER_KEY)
    Secret.objects.filter(name=FAY).update(**Secret.objects.filter(name=FRED).values(*parts)[0])
    with pytest.raises(VaultError, match="cannot be opened"):
        store.open(FAY)
    assert store.open(FRED) == OTHER_KEY


@pytest.mark.django_db
def test_an_old_value_cannot_be_put_back_under_the_new_version() -> None:
    store = vault()
    store.put(FAY, PRIVATE_KEY)
    old = Secret.objects.values("nonce", "sealed", "wrap_nonce", "wrapped_key")[0]
    store.put(FAY, OTHER_KEY)
    Secret.objects.update(**old)
    with pytest.raises(VaultError, match="its row was changed"):
        store.open(FAY)


@pytest.mark.django_db
def test_both_versions_are_readable_until_all_is_moved() -> None:
    vault("k1").put(FAY, PRIVATE_KEY)
    both = vault("k2", "k1")
    both.put(FRED, OTHER_KEY)
    assert (both.open(FAY), both.open(FRED)) == (PRIVATE_KEY, OTHER_KEY)
    assert both.versions() == {"k1": 1, "k2": 1}
    assert both.behind() == [FAY]


@pytest.mark.django_db
def test_rewrapping_moves_the_key_and_leaves_the_seal_and_is_audited() -> None:
    vault("k1").put(FAY, PRIVATE_KEY)
    before = bytes(Secret.objects.get().sealed)
    done = vault("k2", "k1").rewrap(FAY, actor="olga")
    assert (done.changed, done.before, done.after) == (True, "k1", "k2")
    assert vault("k2").open(FAY) == PRIVATE_KEY
    assert bytes(Secret.objects.get().sealed) == before
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.subject_id) == ("olga", FAY)
    assert (entry.before, entry.after) == ({"kek_version": "k1"}, {"kek_version": "k2"})


@pytest.mark.django_db
def test_rewrapping_twice_changes_nothing_the_second_time() -> None:
    vault("k1").put(FAY, PRIVATE_KEY)
    both = vault("k2", "k1")
    both.rewrap(FAY, actor="olga")
    assert both.rewrap(FAY, actor="olga").changed is False
    assert AuditEntry.objects.count() == 1


@pytest.mark.django_db
def test_what_cannot_be_opened_is_not_rewrapped() -> None:
    vault("k1").put(FAY, PRIVATE_KEY)
    Secret.objects.update(sealed=b"x" * 48)
    with pytest.raises(VaultError, match="its row was changed"):
        vault("k2", "k1").rewrap(FAY, actor="olga")
    assert (Secret.objects.get().kek_version, AuditEntry.objects.count()) == ("k1", 0)


@pytest.mark.django_db
def test_a_missing_version_is_named_and_no_key_is_made() -> None:
    vault("k1").put(FAY, PRIVATE_KEY)
    with pytest.raises(VaultError, match="holds no key of version k1; it has k2"):
        vault("k2").open(FAY)
    assert list(vault("k2").lost_versions()) == ["k1"]
    assert vault("k2").lost_versions("API_CREDENTIALS") == {}


@pytest.mark.django_db
def test_another_key_under_the_same_version_is_noticed_and_one_changed_row_is_not_blamed_on_the_key() -> None:
    store = vault("k1")
    for name in (FAY, FRED):
        store.put(name, PRIVATE_KEY)
    Secret.objects.filter(name=FAY).update(wrapped_key=b"x" * 48)
    assert store.lost_versions() == {}
    other = Vault(TextKeks(Hidden(kek_text("k2").replace("k2:", "k1:"))), SystemEntropy())
    assert other.lost_versions() == {"k1": "The key that is set under this version is another one."}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "work", [lambda store: store.put(FAY, PRIVATE_KEY), lambda store: store.behind()], ids=["put", "behind"]
)
def test_without_any_key_nothing_is_sealed(work: Callable[[Vault], object]) -> None:
    with pytest.raises(VaultError, match="No key-encryption key is set"):
        work(Vault(NoKeks(), SystemEntropy()))
    assert not Secret.objects.exists()


@pytest.mark.django_db
def test_a_secret_that_is_not_there_is_missing() -> None:
    with pytest.raises(SecretMissing, match="There is no secret PRIVATE_KEY:0xfafa"):
        vault().open(FAY)


@pytest.mark.django_db
@pytest.mark.parametrize("plain", [b"", b"x" * 2_049])
def test_no_empty_and_no_huge_secret_is_stored(plain: bytes) -> None:
    with pytest.raises(VaultError, match="must have 1 to 2048 bytes"):
        vault().put(FAY, plain)


def test_keys_and_vaults_print_nothing_of_a_key() -> None:
    shown = f"{KEK!r} {vault()!r} {envelope()!r} {hidden_keks('k1')!r} {hidden_keks('k1')}"
    assert base64.b64encode(KEKS["k1"]).decode() not in shown
    assert repr(KEKS["k1"]) not in shown
    assert "k1" in shown


def _part(whole: Envelope, place: str) -> bytes:
    wrapped = whole.wrapped
    return {"nonce": whole.nonce, "sealed": whole.sealed, "wrapped nonce": wrapped.nonce, "wrapped key": wrapped.key}[
        place
    ]


def _flipped(whole: Envelope, place: str, bit: int) -> Envelope:
    raw = bytearray(_part(whole, place))
    raw[bit // 8] ^= 1 << bit % 8
    parts = {name: _part(whole, name) for name in ("nonce", "sealed", "wrapped nonce", "wrapped key")}
    parts[place] = bytes(raw)
    wrapped = Wrapped(kek_version="k1", nonce=parts["wrapped nonce"], key=parts["wrapped key"])
    return Envelope(nonce=parts["nonce"], sealed=parts["sealed"], wrapped=wrapped)


@pytest.mark.django_db(transaction=True)
def test_a_secret_written_while_it_is_rewrapped_is_never_lost() -> None:
    old, both = vault("k1"), vault("k2", "k1")
    old.put(FAY, b"value 0")

    def write() -> None:
        for number in range(1, 21):
            old.put(FAY, f"value {number}".encode())
        connection.close()

    def wrap() -> set[bytes]:
        found = set()
        for _time in range(20):
            both.rewrap(FAY, actor="olga")
            found.add(both.open(FAY))
        connection.close()
        return found

    with ThreadPoolExecutor(2) as pool:
        writing, wrapping = pool.submit(write), pool.submit(wrap)
        writing.result()
        assert wrapping.result() <= {f"value {number}".encode() for number in range(21)}
    assert (both.open(FAY), Secret.objects.get().version) == (b"value 20", 21)
