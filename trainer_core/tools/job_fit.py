"""The job `fit`: tries a step of the settings that its folder holds, as the command `fit` does."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from trainer_core.contracts.config import load_config
from trainer_core.jobs.context import JobContext
from trainer_core.tools.job_spec import Spec


def run(spec: Mapping[str, Any], job: JobContext) -> Mapping[str, Any]:
    """Check the fit of the job's ``config.toml``.

    spec: cards (how many GPUs would share a step; the one tried is the job's). Returns verdict (fits, tight, no),
    measured (see `MeasuredStep`, None where memory did not suffice), needed, free and estimated in bytes, cuda, seconds
    (of the whole run, None where unknown), hints, took. What does not fit is an answer too, not a failure.

    Raises UserError `job_invalid`, ConfigError, and as `check_fit`.
    """
    cards = Spec(spec).whole("cards", 1, 1024, 1)
    config = load_config(job.folder.config_file)
    from trainer_core.training.fit import check_fit

    result = check_fit(config, cards=cards, report=job.progress, warn=job.warn)
    return {
        "verdict": result.verdict,
        "measured": asdict(result.measured) if result.measured else None,
        "needed": result.needed,
        "free": result.free,
        "estimated": result.forecast.training_estimate,
        "cuda": result.forecast.cuda,
        "seconds": result.forecast.seconds,
        "hints": result.hints,
        "took": result.took,
    }
