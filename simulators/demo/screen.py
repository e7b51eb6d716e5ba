"""What one sees of the demo: the story as lines that stay, and below them, in a terminal, how things stand now."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from simulators.demo.books import DOORS, Reckoning
from simulators.demo.eyes import Glance
from simulators.demo.text import t
from simulators.replay.accounts import Books as AllBooks

LINE_EVERY_S = 5.0
"""Without a terminal there is a line about how things stand this often."""
SHOWN_LINES = 30
PAIR_ROOM = 46
"""Columns up to which what stands left is filled up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """How things stand."""

    counts: Mapping[str, Mapping[str, int]]
    """Door → submitted, accepted, effect."""
    events: int
    """All updates that the register is going to submit."""
    others: Mapping[str, int]
    """Messages of other types: submitted, accepted."""
    came: int
    """Messages that came to the register."""
    glance: Glance

    def total(self, what: str) -> int:
        """Over both doors."""
        return sum(counts.get(what, 0) for counts in self.counts.values())


@dataclass(slots=True)
class Screen:
    """``quiet``: nothing but the story, on standard error (the result is JSON on standard output)."""

    quiet: bool = False
    console: Console = field(init=False)
    _live: Live | None = None
    _began: float = field(default_factory=time.monotonic)
    _last_line: float = 0.0

    def __post_init__(self) -> None:
        stream = sys.stderr if self.quiet else sys.stdout
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that knows less than Unicode
        self.console = Console(file=stream, highlight=False, markup=False, width=None if stream.isatty() else 120)

    @property
    def command_columns(self) -> int:
        """Room for what a command shows."""
        return max(40, self.console.width - 8)

    def open(self) -> None:
        """Begin to show how things stand, where that can be shown."""
        if self.console.is_terminal and not self.quiet:
            self._live = Live(console=self.console, refresh_per_second=4, transient=True)
            self._live.start()

    def close(self) -> None:
        """Take it away; the story stays."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def title(self, text: str) -> None:
        """The first line."""
        self.console.print(Rule(Text(text, style="bold"), style="blue"))

    def say(self, key: str, *, style: str = "", **values: object) -> None:
        """A line of the story. Its first word is set off if it is one in capitals, or ends with a Japanese colon."""
        line = Text(t(key, **values), style=style)
        for mark in (": ", "："):
            head, found, _ = line.plain.partition(mark)
            if found and (head.isupper() or (mark == "：" and len(head) <= 4)):
                line.stylize("bold yellow", 0, len(head))
                break
        row = Table.grid(padding=(0, 1))
        row.add_column(no_wrap=True)
        row.add_column(overflow="fold")
        row.add_row(Text(self._clock(), style="dim"), line)
        self.console.print(row)

    def command(self, typed: str, shown: str) -> None:
        """A command as an operator typed it, and what it showed."""
        lines = [Text.from_ansi(line) for line in shown.strip("\n").splitlines()]
        more = len(lines) - SHOWN_LINES
        body: list[RenderableType] = [Text(f"$ {typed}", style="bold cyan"), *lines[:SHOWN_LINES]]
        if more > 0:
            body.append(Text(f"… (+{more})", style="dim"))
        self.console.print(Padding(Group(*body), (0, 0, 0, 6)))

    def now(self, now: Now) -> None:
        """How things stand."""
        if self._live is not None:
            self._live.update(self._panel(now))
        elif not self.quiet and time.monotonic() - self._last_line >= LINE_EVERY_S:
            self._last_line = time.monotonic()
            self.console.print(f"{self._clock()} {_line(now)}", style="dim")

    def _clock(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        return f"{minutes:02d}:{seconds:02d}"

    def _panel(self, now: Now) -> RenderableType:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True, padding=(0, 1))
        table.add_column(self._clock(), header_style="dim", no_wrap=True)
        for door in DOORS:
            table.add_column(t(door), justify="right", width=6)
        table.add_column(t("total"), justify="right", width=6)
        table.add_column("", ratio=1)
        for label, what, colour in (("submitted", "submitted", "cyan"), ("accepted", "accepted", "blue"), ("delivered", "effect", "green")):
            done = now.total(what)
            bar = ProgressBar(total=max(now.events, done), completed=done, complete_style=colour, finished_style=colour)
            table.add_row(t(label), *[str(now.counts[door].get(what, 0)) for door in DOORS], str(done), bar)
        glance = now.glance
        state = Text("  ").join(
            [
                Text(t("now"), style="dim"),
                Text(t("to-send", count=glance.to_send + glance.sending)),
                _marked(t("backing-off", count=glance.backing_off), glance.backing_off, "yellow"),
                _marked(t("waiting", count=glance.waiting), glance.waiting, "yellow"),
                _marked(t("held", count=glance.held), glance.held, "bold red"),
                Text(_oldest(glance)),
            ]
        )
        code = f" ({glance.breaker_code})" if glance.breaker_code else ""
        breaker = Text(f"{t('breaker')}  ", style="dim")
        breaker.append(f"{glance.breaker}{code}", style="green" if glance.breaker == "closed" else "bold red")
        others = Text(t("others", submitted=now.others.get("submitted", 0), came=now.came), style="dim")
        return Group(Text(""), table, others, state, breaker)

    # ---- the end --------------------------------------------------------------------------------------------------------------------

    def reckoning(self, found: Reckoning) -> None:
        """The table at the end."""
        table = Table(title=t("table"), title_style="bold", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
        table.add_column("")
        for name in (*DOORS, "total"):
            table.add_column(t(name), justify="right", width=8)
        table.add_column(t("who"), style="dim")
        columns = [*(found.doors[door] for door in DOORS), found.total]

        def row(key: str, values: Sequence[int], style: str = "", who: str = "") -> None:
            table.add_row(Text(t(key), style=style), *[Text(str(value), style=style) for value in values], t(who) if who else "")

        row("row.submitted", [each.submitted for each in columns], who="who.register")
        row("row.accepted", [each.accepted for each in columns], who="who.register")
        row("row.replaced", [each.replaced for each in columns], who="who.register")
        row("row.rejected", [each.rejected for each in columns], who="who.party")
        table.add_section()
        row("row.expected", [each.accepted - each.replaced for each in columns], who="who.register")
        row("row.effects", [each.effects for each in columns], style="bold", who="who.party")
        table.add_section()
        for name in ("lost", "stuck", "duplicate_effects", "order_violations", "foreign_effects"):
            values = [getattr(each, name) for each in columns]
            row(f"row.{name}", values, style="bold red" if any(values) else "green", who="who.both")
        self.console.print()
        self.console.print(table)
        self.console.print(_times(found))

    def accounts(self, found: AllBooks) -> None:
        """The table of all parties."""
        table = Table(title=t("all"), title_style="bold", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
        for name in ("all.party", "all.type"):
            table.add_column(t(name), no_wrap=True)
        for name in ("all.sent", "all.ledger", "all.effects", "all.refused"):
            table.add_column(t(name), justify="right")
        for line in found.lines:
            numbers = [str(each) for each in (line.sent, line.ledger, line.effects, line.refused or "")]
            place = f"{'→' if line.way == 'out' else '←'} {line.party}"
            table.add_row(place, line.type, *numbers, style="bold red" if line.wrong else "")
        self.console.print(table)

    def pairs(self, rows: Sequence[tuple[str, str]], *, title: str = "", mark: str = "  ") -> None:
        """What stands left, in one piece so that it can be copied, and what it is."""
        if title:
            self.console.print(Text(title, style="bold"))
        room = max((cell_len(left) for left, _ in rows if cell_len(left) <= PAIR_ROOM), default=0)
        for left, right in rows:
            line = Text(f"  {left}", style="cyan")
            if right:
                line.append(" " * max(0, room - cell_len(left)) + f"{mark}{right}", style="dim")
            self.console.print(line, soft_wrap=True)

    def print(self, text: str, style: str = "") -> None:
        """A line."""
        self.console.print(Text(text, style=style))


def _marked(text: str, count: int, style: str) -> Text:
    return Text(text, style=style if count else "")


def _oldest(glance: Glance) -> str:
    if glance.oldest_at is None:
        return t("oldest.none")
    return t("oldest", seconds=max(0.0, (datetime.now(UTC) - datetime.fromisoformat(glance.oldest_at)).total_seconds()))


def _line(now: Now) -> str:
    glance = now.glance
    return t(
        "line",
        submitted=now.total("submitted"),
        events=now.events,
        accepted=now.total("accepted"),
        delivered=now.total("effect"),
        backing_off=glance.backing_off,
        waiting=glance.waiting,
        held=glance.held,
        breaker=glance.breaker,
        oldest=_oldest(glance).partition(" ")[2],
    )


def _times(found: Reckoning) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("")
    for name in ("times.p50", "times.p99", "times.longest"):
        table.add_column(t(name), justify="right", width=8)
    rows = [(t("row.accept", door=t(door)), found.accept[door]) for door in DOORS]
    rows += [(t("row.effect"), found.effect["total"]), (t("row.undisturbed"), found.undisturbed["total"])]
    for label, times in rows:
        table.add_row(label, *[_short(value) for value in (times.p50, times.p99, times.longest)])
    return table


def _short(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
