"""Numbers from edge scores and models; knows no files and no runs."""
