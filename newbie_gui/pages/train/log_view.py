"""The end of a run's log, or the lines that match a search."""

from markupsafe import Markup

from newbie_gui.pages.html import download
from newbie_gui.pages.train.places import Place
from newbie_gui.pages.ui import Ui
from newbie_gui.runs.logs import LogText
from trainer_core.contracts.rundir import RunDir


def render(ui: Ui, place: Place, log: LogText, *, searched: bool) -> Markup:
    if not log.lines and not searched:
        return Markup('<p class="muted">{}</p>').format(ui.t("train.log.none"))
    told = ui.t("train.log.matches", count=log.matches, shown=len(log.lines)) if searched else ""
    link = download(place.file_url(RunDir(place.folder).log_file.name), ui.t("train.log.download"))
    lines = Markup('<div class="log-box" tabindex="0"><pre class="log">{}</pre></div>').format("\n".join(log.lines))
    return Markup('<p class="muted" role="status">{}</p>{}<p>{}</p>').format(told, lines, link)
