"""Training of denoisers: what to learn from, what to minimise, and the loop."""
