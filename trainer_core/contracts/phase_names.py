"""What a run says that it does: in its `phase` events, in the forecast of its memory, and of where memory ran out.

A person reads these names, and what helps against a full memory is looked up by them.
"""

from collections.abc import Callable

Report = Callable[[str, int, int], None]
"""(what is being done, how much is done, how much there is); may raise to stop the work there."""

PREPARING = "preparing"
CHECKING_DATA = "checking data"
LOADING_GEMMA = "loading Gemma3"
ENCODING_GEMMA = "encoding captions (Gemma3)"
LOADING_JINA = "loading Jina CLIP"
ENCODING_JINA = "encoding captions (Jina CLIP)"
LOADING_VAE = "loading the VAE"
ENCODING_IMAGES = "encoding images"
# All of what comes between preparing and training, of which the transformer takes the memory.
LOADING = "loading"
LOADING_TRANSFORMER = "loading the transformer"
TRAINING = "training"
VALIDATING = "validating"
DRAWING = "drawing samples"
# Check fit's.
TRYING = "trying a step"
# The forecast's.
SAMPLING = "sampling"
