"""Language models and tokenizers: load, make, check, save."""
