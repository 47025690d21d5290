"""A campaign of faults over every command; see ``python -m tests.campaign --help``."""
