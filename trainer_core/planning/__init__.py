"""Planning a run before it starts: hardware, strategies, what a step costs, what fits, advice (torch-free)."""
