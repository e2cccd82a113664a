"""The built-in toy base: a drawn world, probes that read pictures, and the script that trains the model on it."""
