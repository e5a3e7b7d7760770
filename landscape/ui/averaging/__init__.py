"""The Averaging page: one run told in the order of the talk's slides 8 to 21, each section in a file with its neighbours."""
