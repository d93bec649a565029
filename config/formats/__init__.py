"""How moments and days are written (FORMAT_MODULE_PATH): one way everywhere, that sorts as it reads."""
