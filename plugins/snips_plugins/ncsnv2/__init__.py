"""NCSNv2: the score networks of the paper's experiments."""
