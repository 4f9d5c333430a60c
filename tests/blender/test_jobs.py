# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs with a live interface: a modal operator, its windows and its Esc, played event by event without a window."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from blender_cteg.character.detection import editable
from blender_cteg.operators import jobs
from blender_cteg.worker import session

TICK, ESC = SimpleNamespace(type="TIMER", value="NOTHING"), SimpleNamespace(type="ESC", value="PRESS")


class Workspace:
    """Remembers what its status bar shows."""

    status: Any = None

    def status_text_set(self, status: Any) -> None:
        self.status = status


class Interface:
    """The context of two windows, as far as jobs use it; and what Blender is busy with."""

    def __init__(self) -> None:
        self.workspaces = [Workspace(), Workspace()]
        self.busy: set[str] = set()
        self.timers: list[object] = []
        windows = [SimpleNamespace(workspace=space, screen=SimpleNamespace(areas=[])) for space in self.workspaces]
        self.window = windows[0]
        self.window_manager = SimpleNamespace(
            windows=windows, is_interface_locked=False, modal_handler_add=lambda _operator: None,
            event_timer_add=lambda _seconds, window: self.timers.append(window) or window,
            event_timer_remove=self.timers.remove,
        )  # fmt: skip
        self.app = SimpleNamespace(background=False, is_job_running=lambda job: job in self.busy)


class Operator(jobs.JobOperator):
    """Performs a line and keeps what it would write."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.written: list[int] = []
        self.reports: list[str] = []

    def prepare(self, _context: Any) -> Any:
        return "", {"op": "generate", "lines": [{"text": self.text}]}, "Generate"

    def complete(self, _context: Any, job: session.Job) -> None:
        if "refused" in self.text:
            raise jobs.Refusal("It does not fit.")
        if "fault" in self.text:
            raise ZeroDivisionError("a fault of ours")
        self.written += [take.seed for take in job.takes]

    def report(self, _level: set[str], sentence: str) -> None:
        self.reports.append(sentence)


@pytest.fixture
def ui(door: None, monkeypatch: pytest.MonkeyPatch) -> Interface:
    interface = Interface()
    monkeypatch.setattr(jobs, "bpy", SimpleNamespace(app=interface.app))
    monkeypatch.setattr(editable, "bpy", SimpleNamespace(app=interface.app))
    return interface


def start(ui: Interface, text: str) -> Operator:
    operator = Operator(text)
    assert operator.invoke(ui, None) == {"RUNNING_MODAL"}
    assert session.job is operator._job
    return operator


def tick(ui: Interface, operator: Operator, times: int = 400) -> set[str]:
    """Let the timer run until the operator ends; what it ended with."""
    for _ in range(times):
        result = operator.modal(ui, TICK)
        if result != {"PASS_THROUGH"}:
            return result
        if not operator._job.over:
            operator._job.poll(0.05)
    raise AssertionError("the job does not end")


def ended(ui: Interface) -> None:
    """Nothing of a job is left anywhere."""
    assert session.job is None
    assert [space.status for space in ui.workspaces] == [None, None]
    assert ui.timers == []


def test_a_job_is_shown_in_every_window_and_leaves_nothing_behind(ui: Interface) -> None:
    operator = start(ui, "Hello.")
    assert all(callable(space.status) for space in ui.workspaces)
    # Another workspace comes to the front, and a tool of Blender clears its status.
    ui.window_manager.windows[0].workspace = fresh = Workspace()
    ui.workspaces[0], ui.workspaces[1].status = fresh, None
    assert tick(ui, operator) == {"FINISHED"}
    assert operator.written == [0]
    ended(ui)


def test_esc_belongs_to_whatever_else_is_going_on(ui: Interface) -> None:
    operator = start(ui, "Hello.")
    assert operator.modal(ui, ESC) == {"PASS_THROUGH"}
    assert not operator._job.cancelling
    assert tick(ui, operator) == {"FINISHED"}


def test_a_cancelled_job_writes_nothing(ui: Interface) -> None:
    operator = start(ui, "slow")
    session.job.cancel()
    assert tick(ui, operator) == {"CANCELLED"}
    assert operator.written == []
    assert operator.reports == ["Generate: cancelled, nothing was changed"]
    ended(ui)


@pytest.mark.parametrize(("reader", "words"), [("RENDER", "render"), ("OBJECT_BAKE", "bake")])
def test_takes_wait_while_blender_renders_or_bakes(ui: Interface, reader: str, words: str) -> None:
    operator = start(ui, "Hello.")
    ui.busy.add(reader)
    while not operator._job.over:
        operator._job.poll(0.05)
    for _ in range(5):
        assert operator.modal(ui, TICK) == {"PASS_THROUGH"}
    assert operator.written == [] and session.job is operator._job
    assert operator._job.stage == f"waiting for the {words} to end"
    ui.busy.clear()
    assert operator.modal(ui, TICK) == {"FINISHED"}
    assert operator.written == [0]
    ended(ui)


def test_takes_wait_while_the_interface_is_locked_and_can_be_cancelled(ui: Interface) -> None:
    operator = start(ui, "Hello.")
    ui.window_manager.is_interface_locked = True
    while not operator._job.over:
        operator._job.poll(0.05)
    assert operator.modal(ui, TICK) == {"PASS_THROUGH"}
    session.job.cancel()
    assert operator.modal(ui, TICK) == {"CANCELLED"}
    assert operator.written == []
    ended(ui)


def test_a_failure_while_blender_renders_is_told_at_once(ui: Interface) -> None:
    operator = start(ui, "refuse")
    ui.busy.add("RENDER")
    assert tick(ui, operator) == {"CANCELLED"}
    assert session.last_problem == "The line is refused; type another one."
    ended(ui)


def test_a_refusal_is_reported_and_kept_for_the_panel(ui: Interface) -> None:
    operator = start(ui, "refused")
    operator._job.over, operator._job.takes = True, []
    assert operator.modal(ui, TICK) == {"CANCELLED"}
    assert operator.reports == [session.last_problem] == ["It does not fit."]
    ended(ui)


def test_an_error_of_ours_frees_the_extension(ui: Interface) -> None:
    operator = start(ui, "a fault")
    with pytest.raises(ZeroDivisionError):
        tick(ui, operator)
    assert "system console" in session.last_problem
    ended(ui)


def test_an_operator_follows_its_own_job(ui: Interface) -> None:
    operator = start(ui, "slow")
    session.finish()  # another file is loaded
    later = start(ui, "Hello.")
    assert operator.modal(ui, TICK) == {"CANCELLED"}
    assert session.job is later._job
    later._show_progress(ui)
    assert tick(ui, later) == {"FINISHED"}
    assert (operator.written, later.written) == ([], [0])
    ended(ui)


def test_a_window_that_closes_ends_its_job_with_a_sentence(ui: Interface) -> None:
    operator = start(ui, "slow")
    operator.cancel(ui)
    assert session.last_problem == "Generate was cancelled because its window was closed; nothing was changed."
    ended(ui)


def test_a_second_job_is_refused(ui: Interface) -> None:
    first, second = start(ui, "slow"), Operator("Hello.")
    assert second.invoke(ui, None) == {"CANCELLED"}
    assert "already working" in second.reports[0]
    assert session.job is first._job
    second.cancel(ui)  # it has no job, so it ends none
    assert session.job is first._job
    session.job.cancel()
    tick(ui, first)
    ended(ui)
