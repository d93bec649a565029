"""Secrets at rest: envelopes (`envelope`), the keys that wrap them (`keks`), their rows (`vault`, `rotation`)."""
