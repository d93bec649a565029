"""The signer port: in this process (`local`) or in one of its own (`remote`, `server`), under one policy."""
