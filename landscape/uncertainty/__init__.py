"""What predictions know of their own uncertainty: metrics, diagrams, calibrators, conformal sets, shift. No torch here."""
