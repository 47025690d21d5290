"""Statistics of the analyses: intervals, bends, fits, means over seeds."""
