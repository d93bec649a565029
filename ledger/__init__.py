"""What is true about money: units, entries, balances, debts, and the async door to the database."""
