"""What the page shows of runs: everything is derived from run folders and kept only as a cache."""
