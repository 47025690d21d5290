"""Continual pre-training: packing, the training run with its checkpoints, and its accuracy."""
