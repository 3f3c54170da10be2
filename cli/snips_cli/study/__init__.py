"""snips study: one file says which priors, tasks, noise levels, pictures, samplers and seeds; one command runs it."""
