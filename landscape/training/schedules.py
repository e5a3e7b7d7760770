"""Learning-rate schedules as factors on the base rate at a share ``progress`` in [0, 1) of the run.

What ``catalog.SCHEDULES`` names; all shapes, with the rate of every step, are in ``landscape.schedules``.
"""

from landscape.schedules import constant, cosine, linear

__all__ = ["constant", "cosine", "linear"]
