"""Flow, feature cache, adapters, the loop, checkpoints, sampling and export."""
