"""Key-encryption keys: read from a text or a private file, refused with a sentence, made only when asked to."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from execution.vault.keks import FileKeks, KekError, NoKeks, TextKeks, kek_provider
from ledger.hidden import Hidden
from ledger.system import SystemEntropy
from tests.canaries import KEKS, hidden_keks, kek_text, leaks_in


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keks"


def written(path: Path, text: str, mode: int = 0o600) -> FileKeks:
    path.write_text(text)
    path.chmod(mode)
    return FileKeks(path)


def test_the_first_key_is_the_current_one_and_all_are_found() -> None:
    keks = TextKeks(hidden_keks("k2", "k1"))
    assert keks.current().version == "k2"
    assert {version: keks.get(version).key for version in ("k1", "k2")} == KEKS


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no key"),
        ("just-a-text", "must hold VERSION:BASE64 entries"),
        (kek_text("k1").partition(":")[2], "must hold VERSION:BASE64 entries"),
        ("a version:" + kek_text("k1")[3:], "must hold VERSION:BASE64 entries"),
        ("k1:not base64", "no base64"),
        ("k1:AAAA", "must be 32 random bytes"),
        ("k1:" + "A" * 43 + "=", "must be 32 random bytes"),
        (kek_text("k1", "k1"), "names version k1 twice"),
    ],
)
def test_a_bad_text_is_refused_without_being_shown(text: str, sentence: str) -> None:
    with pytest.raises(KekError, match=sentence) as refused:
        TextKeks(Hidden(text))
    assert leaks_in(str(refused.value)) == []
    assert str(refused.value).startswith("SLIPSTREAM_KEK")


def test_a_made_file_is_private_and_holds_one_key(path: Path) -> None:
    old = os.umask(0)
    try:
        version = FileKeks(path).make(SystemEntropy())
    finally:
        os.umask(old)
    assert (version, FileKeks(path).current().version) == ("k1", "k1")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_there_is_never_made_anew(path: Path) -> None:
    keks = written(path, kek_text("k1"))
    with pytest.raises(KekError, match="There is a key file already"):
        keks.make(SystemEntropy())
    assert path.read_text() == kek_text("k1")


def test_an_added_key_comes_first_and_the_old_ones_stay(path: Path) -> None:
    keks = written(path, f"# ours\n{kek_text('k1')}\n")
    assert keks.add(SystemEntropy()) == "k2"
    assert keks.add(SystemEntropy()) == "k3"
    assert keks.current().version == "k3"
    assert keks.get("k1").key == KEKS["k1"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["keks"]


def test_keys_on_one_line_are_counted_too(path: Path) -> None:
    keks = written(path, f"# caf\xe9\n{kek_text('k2', 'k1')}\n")
    path.write_bytes(path.read_text().encode("latin-1"))
    assert keks.add(SystemEntropy()) == "k3"
    assert keks.get("k1").key == KEKS["k1"]


def test_two_that_add_at_once_both_keep_their_keys(path: Path) -> None:
    keks = written(path, kek_text("k1") + "\n")
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _number: keks.add(SystemEntropy()), range(40)))
    assert sorted(made) == sorted(f"k{number}" for number in range(2, 42))
    assert {keks.get(version).version for version in made} == set(made)


def test_the_owner_of_the_file_stays_its_owner(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keks = written(path, kek_text("k1"))
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    monkeypatch.setattr(os, "fchown", lambda _file, owner, group: given.append((owner, group)))
    keks.add(SystemEntropy())
    assert given == [(path.stat().st_uid, path.stat().st_gid)]


def test_a_link_to_the_file_stays_a_link(tmp_path: Path, path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    written(kept / "keks", kek_text("k1"))
    path.symlink_to(kept / "keks")
    assert FileKeks(path).add(SystemEntropy()) == "k2"
    assert path.is_symlink()
    assert FileKeks(kept / "keks").current().version == "k2"


def test_a_file_that_is_too_long_loses_no_key_silently(path: Path) -> None:
    with pytest.raises(KekError, match="has more than 65536 bytes"):
        written(path, "#" * 70_000 + "\n" + kek_text("k1")).current()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_read_is_refused(path: Path, mode: int) -> None:
    with pytest.raises(KekError, match="can be read by others: `chmod 600` it"):
        written(path, kek_text("k1"), mode).current()


def test_a_missing_file_says_how_to_get_one_and_makes_none(path: Path) -> None:
    with pytest.raises(KekError, match=r"There is no key file at .*rotatekeys --init"):
        FileKeks(path).current()
    assert not path.exists()


def test_a_folder_or_a_pipe_is_no_key_file(tmp_path: Path, path: Path) -> None:
    os.mkfifo(path, 0o600)
    for place in (tmp_path, path):
        with pytest.raises(KekError, match=r"is no plain file|cannot be read"):
            FileKeks(place).current()


def test_a_new_version_is_seen_without_a_restart(path: Path) -> None:
    keks = written(path, kek_text("k1"))
    keks.current()
    written(path, kek_text("k2", "k1"))
    assert keks.get("k2").key == KEKS["k2"]


def test_settings_choose_one_provider(path: Path) -> None:
    assert isinstance(kek_provider(Hidden(""), ""), NoKeks)
    assert isinstance(kek_provider(hidden_keks("k1"), ""), TextKeks)
    assert isinstance(kek_provider(Hidden(""), str(path)), FileKeks)
    with pytest.raises(KekError, match="both set"):
        kek_provider(hidden_keks("k1"), str(path))
