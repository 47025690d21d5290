"""Is a circuit found? Models whose circuits are known, and tasks in the format of MIB.

:mod:`~kc_utils.benchmark.known_circuits` has models with a circuit put in by hand,
:mod:`~kc_utils.benchmark.ground_truth` says how well a method finds it again,
:mod:`~kc_utils.benchmark.tasks` makes and reads pairs for models that nobody wired, and
:mod:`~kc_utils.benchmark.areas_by_method` takes MIB's two areas on them.
"""
