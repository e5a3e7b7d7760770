"""What is made of SGD's walk: curves, planes, lines, width, geometry, and the table of results."""
