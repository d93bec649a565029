"""What the engine costs, measured: each module is one subcommand of `manage.py benchmark`."""
