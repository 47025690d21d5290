"""The explorer: look at any circuit of a run, and type prompts to its models.

``explore(run_dir)`` is what a notebook calls.
"""

from kc_utils.explorer.explore import Explorer, explore

__all__ = ["Explorer", "explore"]
