"""What the base was trained to find before a caption, by kind of caption; for Gemma only."""

SYSTEM_PROMPT_TAGS = (
    "You are an assistant designed to generate high-quality anime images with the highest degree of "
    "image-text alignment based on textual prompts. <Prompt Start> "
)
SYSTEM_PROMPT_XML = (
    "You are an assistant designed to generate high-quality anime images based on xml format prompts. <Prompt Start> "
)
