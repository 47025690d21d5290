"""The circuit engine: edges scored, circuits cut, run and evaluated."""
