"""Strategies of continual pre-training at one budget: what is read when, and what is trained."""
