"""The Calibration page: what each source of predictions knows of its own errors, from slides 23 and 24 on."""
