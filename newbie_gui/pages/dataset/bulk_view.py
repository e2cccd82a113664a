"""What a bulk edit would do, before it is done."""

from markupsafe import Markup

from newbie_gui.formatting import cut
from newbie_gui.pages.html import note, table
from newbie_gui.pages.ui import Ui
from trainer_core.dataset.bulk import BulkPlan

SHOWN_CHANGES = 20
_LONGEST = 300


def render_plan(ui: Ui, plan: BulkPlan) -> Markup:
    """How many captions change, which are left alone and why, and the first changes side by side."""
    t = ui.t
    intro = t("dataset.bulk.would", count=len(plan.changes), total=plan.looked_at)
    left = [t(f"dataset.bulk.left.{reason}", count=count) for reason, count in plan.left_alone.items()]
    notes = Markup("").join(note("", why) for why in left)
    if not plan.changes:
        return Markup('<div role="status"><p>{}</p>{}</div>').format(intro, notes)
    first = plan.changes[:SHOWN_CHANGES]
    rows = [(change.picture.name, cut(change.before, _LONGEST), cut(change.after, _LONGEST)) for change in first]
    heads = [t(f"dataset.bulk.{name}") for name in ("file", "before", "after")]
    return Markup('<div role="status"><p>{}</p>{}{}</div>').format(intro, notes, table(heads, rows, kind="ds-preview"))
