"""Many runs, computed over Dask, and their tables as one data set.

``plan`` says which runs and stages; ``cluster`` starts or joins the workers; ``drive`` computes;
``dataset`` and ``export`` join the tables of all runs; ``command`` is the body of ``kc sweep``.
"""
