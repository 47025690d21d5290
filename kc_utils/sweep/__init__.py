"""Many runs, computed over Dask, and their tables as one data set.

``plan`` says which runs and stages; ``drive`` computes them; ``export`` joins the tables of all
runs; ``command`` is the body of ``kc sweep``.
"""
