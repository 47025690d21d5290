"""Run folders: what a run holds, how stages, jobs and notebooks fill it."""
