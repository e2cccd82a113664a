"""What the VAE keeps alive while it encodes or decodes, in numbers: as counted in real passes (test_encoders.py).

Kernels' own workspace is left out.
"""

# A map of more numbers is computed in strips of about so many (model/vae_strips.py).
LARGE_MAP = 2**26
STRIP = 2**23
# Strips that live at once: one as it is read, normalised, activated and convolved.
_STRIPS = 4


def encoder_numbers(channels: int, pixels: int, *, large: int = LARGE_MAP, strip: int = STRIP) -> int:
    """The most expensive place of the encoder. channels: the VAE's first width; pixels: of all pictures of a batch.

    Five maps of the first blocks, or two and a strip; each later stage has maps of half the size.
    """
    sizes = (channels * pixels // 2**stage for stage in range(3))
    return max(2 * size + _STRIPS * strip if size > large else 5 * size for size in sizes)


def decoder_numbers(channels: int, pixels: int, *, large: int = LARGE_MAP, strip: int = STRIP) -> int:
    """The most expensive place of the decoder: in its last stage three maps of twice the width, or two and a strip."""
    size = channels * pixels
    return 4 * size + _STRIPS * strip if size > large else 6 * size
