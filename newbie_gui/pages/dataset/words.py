"""Small words that several parts of the Dataset tab share."""

from newbie_gui.datasets.store import DatasetState
from newbie_gui.pages.ui import Ui
from trainer_core.dataset.dataset_index import Picture


def marks_of(ui: Ui, dataset: DatasetState, picture: Picture) -> list[str]:
    """What is to be known about a picture, in short words; empty where all is well."""
    t, view, record = ui.t, dataset.view, picture.record
    marks = []
    if record is None:
        marks.append(t("dataset.mark.pending"))
    elif record.problem:
        marks.append(t(f"dataset.problem.{record.problem}"))
    if picture.caption.state != "ok":
        marks.append(t(f"dataset.caption.{picture.caption.state}"))
    if picture.mistake:
        marks.append(t("dataset.mark.xml"))
    if view.is_small(picture):
        marks.append(t("dataset.mark.small"))
    if view.is_cropped(picture):
        marks.append(t("dataset.mark.cropped", percent=round(100 * view.placed[picture.relative].crop_loss)))
    return marks
