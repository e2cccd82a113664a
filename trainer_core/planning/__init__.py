"""Planning a run before it starts: what the model is made of, what a step costs, what fits (torch-free)."""
