"""The pages: one Gradio Blocks a language, one package a tab."""
