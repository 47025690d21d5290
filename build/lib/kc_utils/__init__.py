"""Knowledge circuits: how language models acquire new knowledge, as an executable book."""
