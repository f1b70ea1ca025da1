"""The table of the node's patients, newest first."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from datetime import datetime

import qt
from slicer.i18n import tr as _

from ..words import wrapped

PATIENT, RECEIVED, STATE, LOOK_AT = range(4)
WAITING = "waiting"
TROUBLE = ("held", "failed")
LONGEST = 160  # letters in a cell; the tool tip has all
MOST_ORGANS = 20  # in a tool tip


class InboxTable:
    """onChosen() is called when another row is chosen."""

    def __init__(self, table: qt.QTableWidget, onChosen: Callable[[], None]):
        self._table, self._onChosen = table, onChosen
        self._patients: list[dict] = []
        self._rows: list[dict] = []
        self._all = False
        header = table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(LOOK_AT, qt.QHeaderView.Stretch)
        table.verticalHeader().setVisible(False)
        table.connect("itemSelectionChanged()", onChosen)

    @property
    def chosen(self) -> dict | None:
        """The row's patient, as `inbox list` has it."""
        rows = {item.row() for item in self._table.selectedItems()}
        return self._rows[rows.pop()] if len(rows) == 1 else None

    def patient(self, series: str) -> dict | None:
        """The patient of a series of the node, shown or not."""
        return next((row for row in self._patients if row["series"] == series), None)

    def show(self, patients: list[dict]) -> None:
        self._patients = patients
        self._fill()

    def showAll(self, everything: bool) -> None:
        """All states, or only who waits for review."""
        self._all = everything
        self._fill()

    def summary(self) -> str:
        """How many are in which state, in words."""
        counts = {state: sum(row["state"] == state for row in self._patients) for state in (WAITING, *TROUBLE)}
        waiting = (
            _("{number} waiting for review").format(number=counts[WAITING])
            if counts[WAITING]
            else _("Nobody waits for review")
        )
        troubles = [f"{counts[state]} {state_word(state)}" for state in TROUBLE if counts[state]]
        return "; ".join([waiting, *troubles]) + "."

    def _fill(self) -> None:
        kept = self.chosen
        self._table.blockSignals(True)
        self._rows = [row for row in self._patients if self._all or row["state"] == WAITING]
        self._table.setRowCount(0)  # or the selection would pass on to another patient
        self._table.setRowCount(len(self._rows))
        for number, row in enumerate(self._rows):
            self._fillRow(number, row)
            if kept is not None and row["series"] == kept["series"]:
                self._table.selectRow(number)
        self._table.resizeRowsToContents()
        self._table.blockSignals(False)
        self._onChosen()

    def _fillRow(self, number: int, row: dict) -> None:
        texts = ("\n".join(_identity(row)), _when(row.get("received")), state_word(row["state"]), to_look_at(row))
        for column, text in enumerate(texts):
            item = qt.QTableWidgetItem(
                textwrap.shorten(text, LONGEST, placeholder=" ...") if column == LOOK_AT else text
            )
            item.setToolTip(_details(row) if column == PATIENT else wrapped(text))
            if column in (STATE, LOOK_AT) and (row["state"] in TROUBLE or (row["state"] == WAITING and texts[LOOK_AT])):
                item.setBackground(qt.QBrush(qt.QColor(255, 236, 179)))
                item.setForeground(qt.QBrush(qt.QColor(60, 45, 0)))
            self._table.setItem(number, column, item)


def patient_name(row: dict) -> str:
    """As the screen shows it: name and ID."""
    name, number = _identity(row)
    return f"{name} ({number})"


def _identity(row: dict) -> tuple[str, str]:
    name = " ".join(str(row.get("patient_name") or "").replace("^", " ").split())
    return name or _("without name"), row.get("patient_id") or _("without ID")


def state_word(state: str) -> str:
    words = {
        "queued": _("queued"),
        "segmenting": _("being segmented"),
        WAITING: _("waiting"),
        "sending": _("being sent"),
        "sent": _("sent"),
        "held": _("held"),
        "failed": _("failed"),
        "rejected": _("rejected"),
        "superseded": _("superseded"),
    }
    return words.get(state, state)


def to_look_at(row: dict) -> str:
    """Why it is held, failed or rejected, how far it is sent, and what the checks noticed."""
    organs = row.get("organs") or []
    missing = [organ["name"] for organ in organs if not organ.get("found") and not organ.get("checks")]
    lines = [row.get("reason") or "", *deliveries(row), *(row.get("warnings") or [])]
    lines += [check for organ in organs for check in organ.get("checks") or []]
    if missing:
        lines.append(_("not found: {names}").format(names=", ".join(missing)))
    return " ".join(filter(None, lines))


def deliveries(row: dict) -> list[str]:
    """A sentence for each planning system that was sent to;
    failures are in the row's reason already, once it has failed."""
    return [
        f"{item['destination']}: {_delivered(item)}"
        for item in row.get("deliveries") or []
        if item["state"] != "failed"
    ]


def _delivered(item: dict) -> str:
    unreviewed = _(" (without review)") if item.get("kind") == "automatic" else ""
    if item["state"] == "sent":
        return _("confirmed{unreviewed}.").format(unreviewed=unreviewed)
    if item.get("reason"):
        reason = item["reason"].removeprefix(f"{item['destination']}: ")
        return _("not yet{unreviewed}: {reason} It is tried again.").format(unreviewed=unreviewed, reason=reason)
    return _("on its way{unreviewed}.").format(unreviewed=unreviewed)


def _when(text: str | None) -> str:
    """An ISO time as local time."""
    try:
        return datetime.fromisoformat(text or "").astimezone().strftime("%Y-%m-%d\n%H:%M")
    except ValueError:
        return text or ""


def _details(row: dict) -> str:
    """For the tool tip. Of many organs only those that somebody has to look at, and how many more there are."""
    lines = [row.get("description") or "", _("Study of {date}").format(date=row.get("study_date") or "?")]
    organs = row.get("organs") or []
    odd = [organ for organ in organs if organ.get("checks") or organ.get("volume_ml") is None]
    shown = organs if len(organs) <= MOST_ORGANS else odd[:MOST_ORGANS]
    for organ in shown:
        volume = f"{organ['volume_ml']:.1f} ml" if organ.get("volume_ml") is not None else _("not found")
        lines.append(" ".join([f"{organ['name']}: {volume}", *(organ.get("checks") or [])]))
    if len(shown) < len(organs):
        lines.append(_("and {number} more organs").format(number=len(organs) - len(shown)))
    return wrapped("\n".join(filter(None, lines)))
