"""Followers' accounts on the venue: their access, what they have there, whether they are ready, and when they stop."""
