"""The Posterior page: one run told in the order of the talk's slides 22 to 33, each section beside its neighbours."""
