"""What the pages know of the data sets; no Gradio here."""
