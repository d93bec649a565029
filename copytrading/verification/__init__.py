"""`manage.py verify`: shows on the installation's own database server that its promises hold, leaving nothing behind.

Everything happens in a private schema or file. Reads no settings: the command lays down those that a check needs.
"""
