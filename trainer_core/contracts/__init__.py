"""What engine and browser side agree on: options, events, run folder, errors. Never imports torch."""
