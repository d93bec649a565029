"""Whom do we copy, and what happens next? Leaders, followers, signals, the pipeline and its supervisor."""
