"""What the suite prints holds no key: the listener of `tests.canaries` hears every way out."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.canaries import API_SECRET, KEKS, PASSPHRASE, PRIVATE_KEY, kek_text, leaks_in
from tests.conftest import ROOT

TESTS = """
import io, logging, sys
import pytest, structlog
from django.core.management.base import OutputWrapper
from tests.canaries import PASSPHRASE, PRIVATE_KEY as KEY
@pytest.fixture
def noisy():
    print(KEY.hex())
def test_quiet(): print("nothing")
def test_stdout(): print(KEY.hex())
def test_stderr(): print(KEY.hex(), file=sys.stderr)
def test_log(): logging.getLogger().warning("key %s", KEY.hex())
def test_structlog(): structlog.get_logger().warning("x", value=PASSPHRASE)
def test_error(): raise ValueError(KEY)
def test_read_back(capsys): print(KEY.hex()); capsys.readouterr()
def test_command(): OutputWrapper(io.StringIO()).write(KEY.hex())
def test_setup(noisy): pass
def test_quiet_again(): print("nothing")
"""


@pytest.mark.parametrize("form", [PRIVATE_KEY.hex(), repr(PRIVATE_KEY), kek_text("k1"), API_SECRET, PASSPHRASE])
def test_a_secret_is_found_in_each_way_of_writing_it(form: str) -> None:
    assert leaks_in(f"before {form} after") != []
    assert leaks_in(f"before {form[:20]}") == []


def test_every_way_out_fails_the_test_that_took_it_and_shows_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_leaks.py").write_text(TESTS)
    options = ["-p", "tests.canaries", "-p", "no:django", "-p", "no:cacheprovider", "-q", "-rA", "--rootdir", "."]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "/dev/null", *options, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "7 failed, 2 passed, 1 error" in done.stdout
    assert PRIVATE_KEY.hex() not in done.stdout + done.stderr
    assert KEKS["k1"].hex() not in done.stdout
