"""Experiments beside the study, a folder each: stage, claims, and what only they need."""
