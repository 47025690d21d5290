"""Drawings that answer to pointer and keyboard without a kernel: circuits, attention, sliders."""
