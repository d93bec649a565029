"""How moments and days are written where pages are in English: the only language there is."""
