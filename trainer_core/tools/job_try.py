"""The job `try`: the same seed side by side, without the LoRAs and with them at several strengths."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from trainer_core.contracts.errors import UserError
from trainer_core.contracts.sampling_limits import CFG, SEED, SHIFT, SIDE, STEPS
from trainer_core.jobs.context import JobContext
from trainer_core.tools.job_spec import Spec

if TYPE_CHECKING:
    from trainer_core.tools.generate import PictureRequest

MOST_PROMPTS = 8


def run(spec: Mapping[str, Any], job: JobContext) -> Mapping[str, Any]:
    """Make a picture of every prompt at every strength.

    spec: base (path), loras [{path, strength}], prompts (1 to 8) or prompt, negative, width and height (64 to 2048
    px, multiples of 16), steps, cfg, shift, seed, strengths (what each LoRA's own strength is multiplied by; 0 is the
    base alone), device (cpu, cuda). Prompts are read as the LoRAs' training read captions. Each picture lies in the
    job's samples with its settings inside, and is told as an event with strength, seed, prompt (its number) and text.
    Returns pictures: their names.

    Raises UserError `job_invalid`, `device_unavailable`, and as `generate` does.
    """
    values = Spec(spec)
    base, loras = values.path("base"), values.loras()
    device = values.choice("device", ("cpu", "cuda"), "cpu")
    requests = _requests(values)
    from trainer_core.tools.generate import generate
    from trainer_core.training.device import pick_device
    from trainer_core.training.sampling import save_png

    names: list[str] = []
    numbers = {prompt: number for number, prompt in enumerate(_prompts(values))}

    def generated(index: int, request: "PictureRequest", image: Image.Image) -> None:
        number, settings = numbers[request.settings.prompt], request.settings
        names.append(f"{number:02d}-strength-{request.strength:g}.png")
        stack = [{"name": path.name, "strength": strength * request.strength} for path, strength in loras]
        save_png(image, job.folder.samples / names[-1], settings, loras=stack if request.strength else [])
        job.picture(names[-1], strength=request.strength, seed=settings.seed, prompt=number, text=settings.prompt)

    generate(base, loras, requests, device=pick_device(device), generated=generated, tell=job.warn, report=job.progress)
    return {"pictures": names}


def _prompts(values: Spec) -> Sequence[str]:
    """Each once, in order."""
    asked = (values.text("prompt"),) if values.text("prompt", "") else values.texts("prompts", MOST_PROMPTS)
    return tuple(dict.fromkeys(asked))


def _requests(values: Spec) -> list["PictureRequest"]:
    """Strength by strength, so that the weights change as seldom as can be."""
    from trainer_core.tools.generate import PictureRequest
    from trainer_core.training.sampling import SampleSettings

    width, height = (_side(values, name) for name in ("width", "height"))
    strengths = values.numbers("strengths", -100, 100, (0.0, 0.5, 1.0))
    settings = [
        SampleSettings(
            prompt=prompt,
            negative_prompt=values.text("negative", ""),
            width=width,
            height=height,
            steps=values.whole("steps", *STEPS),
            cfg=values.number("cfg", *CFG),
            shift=values.number("shift", *SHIFT),
            seed=values.whole("seed", *SEED),
        )
        for prompt in _prompts(values)
    ]
    return [
        PictureRequest(settings=one, strength=strength) for strength in dict.fromkeys(strengths) for one in settings
    ]


def _side(values: Spec, name: str) -> int:
    low, high, step = SIDE
    side = values.whole(name, low, high)
    if side % step:
        raise UserError("job_invalid", f"{name} = {side}: expected is a multiple of {step}. Nothing was done.")
    return side
