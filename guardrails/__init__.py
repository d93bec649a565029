"""May we, and have we already? Rules, budgets, switches, events and the shared stores."""
