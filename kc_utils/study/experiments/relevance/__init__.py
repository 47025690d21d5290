"""How much of a person must be known? People whose names are known to four degrees."""
