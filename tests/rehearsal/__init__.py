"""A workshop, rehearsed in JupyterLab; see ``python -m tests.rehearsal --help``."""
