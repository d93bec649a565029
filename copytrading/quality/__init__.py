"""How well copies are made: `summaries` are the figures, pure; `queries` reads the copies, bounded, by an index."""
