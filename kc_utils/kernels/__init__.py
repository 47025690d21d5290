"""What a CPU computes fastest by, and torch hooks; nothing here knows what it is for."""
