"""Settings, URLs and the ASGI entry; knows everybody, decides nothing."""
