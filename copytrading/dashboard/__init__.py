"""The operator's live page: reads of what the engine wrote, a socket that only hints, and one switch."""
