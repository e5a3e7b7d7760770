"""The parts of ``recipes.inspect``, one topic a file."""
