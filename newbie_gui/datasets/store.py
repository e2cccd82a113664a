"""What the Dataset tabs know of the data sets: the newest look at each, and the jobs that work on them."""

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
from trainer_core.contracts.run_names import CONFIG_FILE
from trainer_core.contracts.workspace import Workspace
from trainer_core.dataset.buckets import BucketPlan
from trainer_core.dataset.bulk import Undo, last_edit
from trainer_core.dataset.dataset_index import DatasetIndex, Picture
from trainer_core.dataset.filters import DatasetView, view_of
from trainer_core.dataset.health import Health, health_of
from trainer_core.dataset.index_file import IndexPlaces
from trainer_core.dataset.library import Concept, DatasetInfo, Library
from trainer_core.dataset.token_counts import TokenCounts, TokenQuestion
from trainer_core.jobs.queue import Entry, Queue


@dataclass(frozen=True, kw_only=True)
class DatasetSnapshot:
    """One data set at one moment, through the settings of that moment.

    ``number`` differs from look to look, also after a restart; ``seen``: the content stamp when it was taken;
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
        self._looks: dict[str, DatasetSnapshot] = {}
        self._looking: set[str] = set()
        # For which pictures and texts a job was asked: one that cannot be read must not be asked for over and over.
        self._asked: dict[str, frozenset[str]] = {}
        self._counts: tuple[TokenQuestion, TokenCounts] | None = None

    def folder_of(self, name: str) -> str:
        """The folder of a data set, "" where there is none."""
        return next((str(info.path) for info in self.library.list() if info.name == name), "")

    def places(self, info: DatasetInfo) -> IndexPlaces:
        return IndexPlaces(self.workspace, info.path)

    def look(self, name: str) -> DatasetSnapshot:
        """The data set as it is on disk now. Raises UserError as `Library.get` and `DatasetIndex.snapshot`."""
        info = self.library.get(name)
        places = self.places(info)
        seen = self.stamps(name)[1]
        with self._lock:
            index = self._indexes.setdefault(info.path, DatasetIndex(info.path, places))
        snapshot = index.snapshot()
        wanted = wanted_settings(self._draft.read(), self._starting())
        concepts = self.library.concepts(name)
        before = self._looks.get(name)
        if before and before.view.snapshot is snapshot and before.wanted == wanted and before.concepts == concepts:
            look = replace(before, seen=seen)
        else:
            view = view_of(snapshot, BucketPlan.from_config(wanted.config))
            look = DatasetSnapshot(
                info=info, places=places, concepts=concepts, wanted=wanted, view=view, health=health_of(view),
                folders=tuple(sorted({picture.folder for picture in snapshot.pictures})), number=time.time_ns(),
                seen=seen,
            )  # fmt: skip
        self._looks[name] = look
        return look

    def latest(self, name: str) -> DatasetSnapshot | None:
        """The last look, without touching the disk."""
        return self._looks.get(name)

    def look_soon(self, name: str) -> None:
        """Look again in the background: a tick must not wait for a large folder."""
        with self._lock:
            if name in self._looking:
                return
            self._looking.add(name)
        threading.Thread(target=self._look_quietly, args=(name,), daemon=True).start()

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

    def ensure_index(self, look: DatasetSnapshot, title: str, *, opened: bool = False) -> bool:
        """Ask for an index job if pictures are new; returns whether one was queued.

        Args:
            opened: a person opened the data set: what a job left out, because it was stopped, failed or could not read
                it, is tried once more.
        """
        pending = frozenset(p.relative for p in look.view.snapshot.pictures if p.record is None or self._lost(look, p))
        with self._asking:
            new = self._not_asked(look.info.name, pending)
            if not (pending if opened else new) or self.busy(look.info):
                return False
            self._asked[look.info.name] = pending
            self.queue.add("index", title, self.spec(look.info), resources=(self.resource(look.info),))
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

    def ensure_tokens(self, look: DatasetSnapshot, title: str) -> bool:
        """Ask for the captions' tokens to be counted if some are unknown; returns whether a count is under way."""
        if not look.wanted.has_base:
            return False
        with self._asking:
            if any(entry.job.kind == "tokens" and entry.active for entry in self.queue.entries()):
                return True
            counts = self.counts(look.wanted)
            missing = counts.missing(picture.caption.text for picture in look.view.snapshot.pictures)
            asked = f"tokens {look.info.name}"
            if not self._not_asked(asked, frozenset(missing)):
                return False
            self._asked[asked] = frozenset(missing)
            job = counts.job(missing)
            self.queue.add("tokens", title, job.spec, resources=("tokens",), files=job.files)
        return True

    def undo(self, look: DatasetSnapshot) -> Undo | None:
        return last_edit(look.places)

    def stamps(self, name: str) -> tuple[str, str]:
        """(jobs, content): the first changes with what the jobs tell, the second with what a look would show."""
        try:
            info = self.library.get(name)
        except UserError:
            return "", ""
        told = [(e.job.id, e.status, e.phase, e.done, e.total) for e in self.jobs(info)[:3]]
        files = (self.places(info).index, self._draft.file, self.workspace.token_counts)
        return repr(told), repr([_time_of(file) for file in files])

    def _look_quietly(self, name: str) -> None:
        try:
            self.look(name)
        except (UserError, OSError):
            # The page asks again, and then says it.
            self._looks.pop(name, None)
        finally:
            self._looking.discard(name)

    def _not_asked(self, work: str, left: frozenset[str]) -> frozenset[str]:
        """What no job was asked for yet. What was done is forgotten: it may have to be done again."""
        self._asked[work] = self._asked.get(work, frozenset()) & left
        return left - self._asked[work]

    def _lost(self, look: DatasetSnapshot, picture: Picture) -> bool:
        record = picture.record
        return record is not None and bool(record.key) and not look.places.thumbnail(record.key).is_file()

    def _uses(self, entry: Entry, info: DatasetInfo) -> bool:
        if entry.job.kind == "train":
            return str(info.path) in self._trained_folders(entry)
        return entry.job.spec.get("folder") == str(info.path)

    def _trained_folders(self, entry: Entry) -> tuple[str, ...]:
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


def _time_of(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
