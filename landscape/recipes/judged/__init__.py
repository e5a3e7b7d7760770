"""What is made of predictions: their sources, accounts, calibrators, conformal sets, shift and unknown inputs."""
