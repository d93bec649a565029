"""What pages tell people about copies: stories, progress, accounts, reasons and why. Reads and pure texts only."""
