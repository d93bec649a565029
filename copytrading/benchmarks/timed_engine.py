"""The engine that `benchmark latency` and `fanout` time: `python -m copytrading.benchmarks.timed_engine FILE`.

It is wired as `runsupervisor` is, with a stamp at each of its doors, runs until SIGTERM, and writes its stamps to FILE.
"""

import json
import os
import sys
from pathlib import Path

import django


def main() -> None:
    """Run, and write the stamps."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from copytrading.benchmarks.timed_run import run  # noqa: PLC0415  (models need Django to be set up)

    Path(sys.argv[1]).write_text(json.dumps(run()), encoding="utf-8")


if __name__ == "__main__":
    main()
