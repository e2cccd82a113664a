"""The side a person sees: set-up and start now, the browser pages later. Never loads torch."""
