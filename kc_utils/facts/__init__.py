"""The study of your own facts in your own model: facts and a model folder in, tables out."""
