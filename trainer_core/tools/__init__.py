"""Jobs around a training: merge, export, the demo, and the builder of the built-in base."""
