"""Work of which only the latest order counts, actions in their order, and long work beside them."""

from __future__ import annotations

import threading

import pytest

from dff.editor.latest import InOrder, Latest, Outdated
from dff.editor.tasks import Progress, Tasks
from dff.errors import DffError

PATIENCE = 20.0


def test_only_the_latest_order_is_finished():
    begun, go_on, finished = threading.Event(), threading.Event(), []

    def work(order: int, outdated) -> None:
        begun.set()
        assert go_on.wait(PATIENCE)
        if outdated():
            raise Outdated
        finished.append(order)

    latest = Latest(work, pytest.fail)
    latest.ask(0)
    assert begun.wait(PATIENCE)
    for order in range(1, 50):
        latest.ask(order)
    go_on.set()
    assert latest.wait(PATIENCE)
    assert finished == [49]
    latest.stop()


def test_a_fault_is_told_in_one_line_and_the_next_order_is_done(capsys):
    said, finished = [], []

    def work(order: int, outdated) -> None:
        if order == 1:
            raise DffError("this does not exist")
        if order == 2:
            raise RuntimeError("two\nlines")
        finished.append(order)

    latest = Latest(work, said.append)
    for order in (1, 2, 3):
        latest.ask(order)
        assert latest.wait(PATIENCE)
    latest.stop()
    assert finished == [3]
    assert said[0] == "this does not exist"
    assert "RuntimeError: two lines" in said[1]
    assert "\n" not in said[1]
    # Of what is no fault of the user's, the traceback goes to who started the program.
    assert "RuntimeError" in capsys.readouterr().err


def test_actions_are_done_in_the_order_in_which_they_were_asked_for():
    done, said = [], []
    actions = InOrder(said.append)
    for number in range(200):
        actions.do(lambda n=number: done.append(n))
        if number == 100:
            actions.do(lambda: 1 / 0)
    actions.wait()
    actions.stop()
    assert done == list(range(200))
    assert len(said) == 1
    assert "ZeroDivisionError" in said[0]


def test_an_action_that_takes_long_says_so_until_it_is_done():
    told, busy = [], threading.Event()

    def tell(long: bool) -> None:
        told.append(long)
        busy.set()

    actions = InOrder(pytest.fail, tell, long=0.0)
    actions.do(lambda: busy.wait(PATIENCE))
    actions.wait()
    assert told == [True, False]
    actions.stop()
    actions = InOrder(pytest.fail, told.append, long=PATIENCE)
    actions.do(lambda: None)
    actions.wait()
    actions.stop()
    assert told == [True, False]


def test_long_work_tells_how_far_it_is_and_is_alone():
    progress, ended, go_on = [], [], threading.Event()
    tasks = Tasks(progress.append, lambda line, wrong: ended.append((line, wrong)))

    def work(tell) -> str:
        tell(0.5)
        assert go_on.wait(PATIENCE)
        tell(1.0)
        return "a file of 3 frames"

    tasks.start("Rendering", work)
    with pytest.raises(DffError, match="Rendering is still at work"):
        tasks.start("Exporting", work)
    go_on.set()
    tasks.wait(PATIENCE)
    assert ended == [("a file of 3 frames", False)]
    assert [each.share for each in progress] == [0.0, 0.5, 1.0, 0.0]
    assert progress[-1] == Progress()
    assert not tasks.busy


def test_long_work_can_be_cancelled_and_may_fail():
    ended, begun, go_on = [], threading.Event(), threading.Event()
    tasks = Tasks(lambda progress: None, lambda line, wrong: ended.append((line, wrong)))

    def endless(tell) -> str:
        begun.set()
        assert go_on.wait(PATIENCE)
        tell(0.1)
        raise AssertionError("it went on after it was cancelled")

    tasks.start("Rendering", endless)
    assert begun.wait(PATIENCE)
    tasks.cancel()
    go_on.set()
    tasks.wait(PATIENCE)

    def broken(tell) -> str:
        raise DffError("the disk is full")

    tasks.start("Exporting", broken)
    tasks.wait(PATIENCE)
    assert ended == [("Rendering: cancelled", False), ("Exporting: the disk is full", True)]


def test_progress_is_told_by_the_hundredth():
    told = []
    tasks = Tasks(told.append, lambda line, wrong: None)

    def work(tell) -> str:
        for step in range(10_001):
            tell(step / 10_000)
        return "done"

    tasks.start("Rendering", work)
    tasks.wait(PATIENCE)
    assert 90 <= len(told) <= 110
