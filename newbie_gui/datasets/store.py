"""What the Dataset tabs know of the data sets: the newest state of each, and the jobs that work on them."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from newbie_gui.datasets.settings import ShownSettings, wanted_settings
from newbie_gui.draft import Draft
from trainer_core.contracts.config import load_config
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import version_of
from trainer_core.contracts.run_names import CONFIG_FILE
from trainer_core.contracts.workspace import Workspace
from trainer_core.dataset.buckets import BucketPlan
from trainer_core.dataset.bulk import Undo, last_edit
from trainer_core.dataset.captions import CaptionRules
from trainer_core.dataset.dataset_index import DatasetIndex, Picture
from trainer_core.dataset.filters import DatasetView, view_of
from trainer_core.dataset.health import Health, health_of
from trainer_core.dataset.index_file import IndexPlaces
from trainer_core.dataset.library import Concept, DatasetInfo, Library
from trainer_core.dataset.token_counts import TokenCounts, TokenQuestion
from trainer_core.jobs.queue import Entry, Queue


@dataclass(frozen=True, kw_only=True)
class DatasetState:
    """One data set at one moment, through the settings of that moment.

    ``number`` differs from one state to the next, also after a restart; ``seen``: the content stamp when it was taken;
    ``folders``: those with pictures, by name.
    """

    info: DatasetInfo
    places: IndexPlaces
    concepts: tuple[Concept, ...]
    wanted: ShownSettings
    view: DatasetView
    health: Health
    folders: tuple[str, ...]
    number: int
    seen: str

    def picture(self, relative: str) -> Picture:
        """Raises UserError `image_missing`."""
        found = self.view.snapshot.by_path.get(relative)
        if found is None:
            raise UserError("image_missing", f"{relative} is not a picture of {self.info.name}.")
        return found


class DatasetStore:
    """One a process. Caches only; safe for several threads. Names are those of `Library`.

    Args:
        starting: what the Settings tab begins with on this machine, beside the defaults.
    """

    def __init__(
        self, workspace: Workspace, queue: Queue, draft: Draft, starting: Callable[[], Mapping[str, Any]]
    ) -> None:
        self.workspace = workspace
        self.queue = queue
        self.library = Library(workspace.datasets, workspace.trash)
        self._draft = draft
        self._starting = starting
        self._lock = threading.Lock()
        # Held from the look at what was asked for to the asking, which writes to disk.
        self._asking = threading.Lock()
        self._indexes: dict[Path, DatasetIndex] = {}
        self._states: dict[str, DatasetState] = {}
        self._refreshing: set[str] = set()
        # For which pictures and texts a job was asked: one that cannot be read must not be asked for over and over.
        self._asked: dict[str, frozenset[str]] = {}
        self._counts: tuple[TokenQuestion, TokenCounts] | None = None

    def folder_of(self, name: str) -> str:
        """The folder of a data set, "" where there is none."""
        return next((str(info.path) for info in self.library.list() if info.name == name), "")

    def choices(self) -> list[tuple[str, str]]:
        """(name, folder) of each data set that is there, for the list of the training images."""
        return [(info.name, str(info.path)) for info in self.library.list() if info.present]

    def places(self, info: DatasetInfo) -> IndexPlaces:
        return IndexPlaces(self.workspace, info.path)

    def current(self, name: str) -> DatasetState:
        """The data set as it is on disk now. Raises UserError as `Library.get` and `DatasetIndex.snapshot`."""
        info = self.library.get(name)
        places = self.places(info)
        seen = self.stamps(name)[1]
        with self._lock:
            index = self._indexes.setdefault(info.path, DatasetIndex(info.path, places))
        snapshot = index.snapshot()
        wanted = wanted_settings(self._draft.read(), self._starting())
        concepts = self.library.concepts(name)
        before = self._states.get(name)
        if before and before.view.snapshot is snapshot and before.wanted == wanted and before.concepts == concepts:
            dataset = replace(before, seen=seen)
        else:
            view = view_of(snapshot, BucketPlan.from_config(wanted.config))
            dataset = DatasetState(
                info=info, places=places, concepts=concepts, wanted=wanted, view=view, health=health_of(view),
                folders=tuple(sorted({picture.folder for picture in snapshot.pictures})), number=time.time_ns(),
                seen=seen,
            )  # fmt: skip
        self._states[name] = dataset
        return dataset

    def latest(self, name: str) -> DatasetState | None:
        """The last state read, without touching the disk."""
        return self._states.get(name)

    def refresh_soon(self, name: str) -> None:
        """Look again in the background: a tick must not wait for a large folder."""
        with self._lock:
            if name in self._refreshing:
                return
            self._refreshing.add(name)
        threading.Thread(target=self._refresh_quietly, args=(name,), daemon=True).start()

    def jobs(self, info: DatasetInfo) -> list[Entry]:
        """Import and index jobs of a data set, running ones first, then waiting, then ended ones, newest first."""
        return [
            entry
            for entry in self.queue.entries()
            if entry.job.kind in ("import", "index") and entry.job.spec.get("folder") == str(info.path)
        ]

    def busy(self, info: DatasetInfo) -> bool:
        return any(entry.active for entry in self.jobs(info))

    def require_idle(self, info: DatasetInfo) -> None:
        """Raises UserError `dataset_in_use`: a job or a training works with the folder."""
        if any(entry.active and self._uses(entry, info) for entry in self.queue.entries()):
            raise _in_use(info)

    def require_no_import(self, info: DatasetInfo) -> None:
        """Raises UserError `dataset_in_use` while pictures and captions are arriving."""
        if any(entry.active and entry.job.kind == "import" for entry in self.jobs(info)):
            raise _in_use(info)

    def ensure_index(self, dataset: DatasetState, title: str, *, opened: bool = False) -> bool:
        """Ask for an index job if pictures are new; returns whether one was queued.

        Args:
            opened: a person opened the data set: what a job left out, because it was stopped, failed or could not read
                it, is tried once more.
        """
        pending = frozenset(
            p.relative for p in dataset.view.snapshot.pictures if p.record is None or self._lost(dataset, p)
        )
        with self._asking:
            new = self._not_asked(dataset.info.name, pending)
            if not (pending if opened else new) or self.busy(dataset.info):
                return False
            self._asked[dataset.info.name] = pending
            self.queue.add("index", title, self.spec(dataset.info), resources=(self.resource(dataset.info),))
        return True

    def spec(self, info: DatasetInfo) -> dict[str, object]:
        """What every job on a data set needs to know."""
        return {"workspace": str(self.workspace.root), "folder": str(info.path)}

    def resource(self, info: DatasetInfo) -> str:
        return f"files:{info.name}"

    def counts(self, wanted: ShownSettings) -> TokenCounts:
        """Where token counts are looked up for these settings."""
        config = wanted.config
        question = TokenQuestion(
            base=config.base_model_path, gemma=config.gemma_model_path, prompts=config.system_prompts
        )  # fmt: skip
        if self._counts is None or self._counts[0] != question:
            self._counts = question, TokenCounts(self.workspace.token_counts, question)
        return self._counts[1]

    def ensure_tokens(self, dataset: DatasetState, title: str) -> bool:
        """Ask for the captions' tokens to be counted if some are unknown; returns whether a count is under way."""
        if not dataset.wanted.has_base:
            return False
        with self._asking:
            if any(entry.job.kind == "tokens" and entry.active for entry in self.queue.entries()):
                return True
            counts = self.counts(dataset.wanted)
            rules = CaptionRules.of(dataset.wanted.config)
            captions = (picture.caption.text for picture in dataset.view.snapshot.pictures)
            missing = counts.missing(text for caption in captions for text in rules.written(caption))
            asked = f"tokens {dataset.info.name}"
            if not self._not_asked(asked, frozenset(missing)):
                return False
            self._asked[asked] = frozenset(missing)
            job = counts.job(missing)
            self.queue.add("tokens", title, job.spec, resources=("tokens",), files=job.files)
        return True

    def undo(self, dataset: DatasetState) -> Undo | None:
        return last_edit(dataset.places)

    def stamps(self, name: str) -> tuple[str, str]:
        """(jobs, content): the first changes with what the jobs tell, the second with what the data set would show."""
        try:
            info = self.library.get(name)
        except UserError:
            return "", ""
        told = [(e.job.id, e.status, e.phase, e.done, e.total) for e in self.jobs(info)[:3]]
        files = (self.places(info).index, self._draft.file, self.workspace.token_counts)
        return repr(told), repr([version_of(file) for file in files])

    def _refresh_quietly(self, name: str) -> None:
        try:
            self.current(name)
        except (UserError, OSError):
            # The page asks again, and then says it.
            self._states.pop(name, None)
        finally:
            self._refreshing.discard(name)

    def _not_asked(self, work: str, left: frozenset[str]) -> frozenset[str]:
        """What no job was asked for yet. What was done is forgotten: it may have to be done again."""
        self._asked[work] = self._asked.get(work, frozenset()) & left
        return left - self._asked[work]

    def _lost(self, dataset: DatasetState, picture: Picture) -> bool:
        record = picture.record
        return record is not None and bool(record.key) and not dataset.places.thumbnail(record.key).is_file()

    def _uses(self, entry: Entry, info: DatasetInfo) -> bool:
        return str(info.path) in (entry.job.spec.get("folder"), *self._trained_folders(entry))

    def _trained_folders(self, entry: Entry) -> tuple[str, ...]:
        """The data of a job that has settings of a training: the training itself, or its check of the memory."""
        try:
            config = load_config(self.workspace.jobs / entry.job.id / CONFIG_FILE)
        except UserError:
            return ()
        return tuple(str(Path(folder).absolute()) for folder in (config.train_data_dir, config.validation_data_dir))


def _in_use(info: DatasetInfo) -> UserError:
    return UserError(
        "dataset_in_use",
        f"{info.name} is in use by a job or a training.",
        ["Wait until it has ended, or stop it on the Train tab."],
    )
