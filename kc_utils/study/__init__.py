"""The study: its stages in order, its experiments, and the claims that it puts to the test."""
