"""``kc doctor``: can a workshop be held on this machine?

What is looked at before anything is installed needs the standard library only, so
``python -m kc_utils.cli.doctor`` works in a fresh checkout. A package that is missing is a line of
the report, never a traceback.
"""
