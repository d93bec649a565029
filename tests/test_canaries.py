"""What the suite prints holds no key: the listener of `tests.canaries` hears every way out."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.canaries import API_SECRET, KEKS, PASSPHRASE, PRIVATE_KEY, kek_text, leaks_in
from tests.conftest import ROOT

TESTS = """
import io, logging, subprocess, sys
import pytest, structlog
from django.core.management.base import OutputWrapper
from execution.clob.credentials import ApiCredentials
from execution.signing import LocalSigner
from execution.vault.envelope import Kek
from tests.canaries import PASSPHRASE, PRIVATE_KEY as KEY
OWN = bytes(range(40, 72))
ADDRESS = "0x" + "ab" * 20
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
def test_process(): subprocess.run([sys.executable, "-c", f"print('{KEY.hex()}')"], capture_output=True)
def test_log_file(tmp_path): (tmp_path / "engine.log").write_text("key=" + KEY.hex())
def test_own_key(): LocalSigner({ADDRESS: OWN}); print(OWN.hex())
def test_own_wrapping_key(): Kek(version="k9", key=OWN[::-1]); print(OWN[::-1].hex())
def test_own_credentials():
    ApiCredentials(address=ADDRESS, api_key="k", secret="c2VjcmV0LXNlY3JldC1z", passphrase="p" * 20); print("p" * 20)
def test_signature(): print(LocalSigner({ADDRESS: OWN}).sign(ADDRESS, bytes(32)).hex())
def test_signature_in_logs():
    structlog.get_logger().info("sent " + LocalSigner({ADDRESS: OWN}).sign(ADDRESS, OWN).hex())
def test_signature_kept(): assert len(LocalSigner({ADDRESS: OWN}).sign(ADDRESS, bytes(32))) == 65
def test_quiet_again(): print("nothing")
"""


@pytest.mark.parametrize("form", [PRIVATE_KEY.hex(), repr(PRIVATE_KEY), kek_text("k1"), API_SECRET, PASSPHRASE])
def test_a_secret_is_found_in_each_way_of_writing_it(form: str) -> None:
    assert leaks_in(f"before {form} after") != []
    assert leaks_in(f"before {form[:20]}") == []


@pytest.mark.parametrize("processes", ["0", "2"])
def test_every_way_out_fails_the_test_that_took_it_and_shows_nothing(tmp_path: Path, processes: str) -> None:
    (tmp_path / "test_leaks.py").write_text(TESTS)
    options = [
        "-p",
        "tests.canaries",
        "-p",
        "no:django",
        "-p",
        "no:cacheprovider",
        "-q",
        "-rA",
        "--rootdir",
        ".",
        "-n",
        processes,
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "/dev/null", *options, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    # A log file is read when its test is over: it passed, and its teardown did not.
    assert "13 failed, 4 passed, 2 errors" in done.stdout
    assert leaks_in(done.stdout + done.stderr) == []
    assert bytes(range(40, 72)).hex() not in done.stdout + done.stderr
    assert KEKS["k1"].hex() not in done.stdout
