"""The command line ``kc`` and its commands."""
