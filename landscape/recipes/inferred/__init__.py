"""What is made of a posterior: its ground, the theatre, draws of each method, what they predict, sweeps, and the table."""
