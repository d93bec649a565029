"""The environment that this process's settings are read from: its own, filled up from `.env` in the checkout."""

import os
from pathlib import Path

import environ

from config.declare import Declarations

BASE_DIR = Path(__file__).resolve().parent.parent

# The demo brings everything it needs in its environment and must never meet an installation's database.
if not os.environ.get("SLIPSTREAM_DEMO") and (BASE_DIR / ".env").is_file():
    environ.Env.read_env(str(BASE_DIR / ".env"))

declare = Declarations(os.environ)
