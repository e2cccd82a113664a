"""The job `demo`: puts the demo's pictures and captions where a data set is expected. The training is an ordinary one,
with the settings of `planning.demo.demo_values`."""

from collections.abc import Mapping
from typing import Any

from trainer_core.contracts.fsutil import whole_folder
from trainer_core.jobs.context import JobContext
from trainer_core.tools.job_spec import Spec
from trainer_core.tools.outputs import require_new, writing
from trainer_core.tools.tiny.character import IMAGES, draw_data


def run(spec: Mapping[str, Any], job: JobContext) -> Mapping[str, Any]:
    """Draw into a new folder, whole or not at all.

    spec: folder (absent or empty). Returns images, folder. Raises UserError `job_invalid`, `output_exists`,
    `disk_full`, `output_failed`.
    """
    folder = Spec(spec).path("folder")
    require_new(folder, folder=True)
    with writing(folder), whole_folder(folder) as temporary:
        draw_data(temporary, lambda number: job.progress("drawing", number, IMAGES))
    return {"images": IMAGES, "folder": str(folder)}
