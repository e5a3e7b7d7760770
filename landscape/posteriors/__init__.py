"""Posteriors over subspaces of weight space and over all weights: targets, samplers and approximations, the exact grid.

Knows nothing of runs, screens or settings. Every method is one file with ``infer`` and one row in ``catalog.METHODS``.
"""
