"""How is it done, exactly once? Quotes, orders, signing and venues."""
