"""The claims of the paper and of this book, a topic per file, and the ledger that judges them."""
