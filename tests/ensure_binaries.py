"""Installs the programs that the suite runs for real and this machine lacks, or says what to install."""

import os
import shutil
import subprocess
import sys

from tests.services import find_binary

PACKAGES = {
    "initdb": "postgresql",
    "redis-server": "redis-server",
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "node": "nodejs",
    "npm": "npm",
}
"""The Debian package of each program."""

APT_SECONDS_MAX = 900


def main() -> int:
    """0 when nothing is missing any more; otherwise 1, after a sentence on stderr."""
    missing = _missing()
    if not missing:
        return 0
    packages = sorted({PACKAGES[name] for name in missing})
    advice = f"The tests need {', '.join(missing)}"
    if shutil.which("apt-get") is None:
        return _refuse(
            f"{advice}: install Postgres, Redis, Chromium with its driver, and Node with npm by your package manager."
        )
    prefix = _root_prefix()
    if prefix is None:
        return _refuse(f"{advice}: run `sudo apt-get install {' '.join(packages)}`.")
    sys.stderr.write(f"Installing {', '.join(packages)} for the tests.\n")
    try:
        _apt_get(prefix, "update")
        _apt_get(prefix, "install", "-y", "--no-install-recommends", *packages)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        return _refuse(f"{advice}, and apt-get could not install {', '.join(packages)}: {error}")
    if missing := _missing():
        return _refuse(f"apt-get installed {', '.join(packages)}, but {', '.join(missing)} cannot be found.")
    return 0


def _missing() -> list[str]:
    return [name for name in PACKAGES if find_binary(name) is None]


def _root_prefix() -> list[str] | None:
    """What makes a command run as root: nothing, sudo without a password, or None where neither works."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [sudo, "-n"]
    return None


def _apt_get(prefix: list[str], *arguments: str) -> None:
    command = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", *arguments]
    subprocess.run(command, check=True, timeout=APT_SECONDS_MAX, stdin=subprocess.DEVNULL, stdout=sys.stderr)


def _refuse(sentence: str) -> int:
    sys.stderr.write(sentence + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
