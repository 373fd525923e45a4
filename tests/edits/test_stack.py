"""The edit stack against a naive reference: a list of snapshots."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dff.edits import Delete, EditDocument, EditStack, EditStep, Opacity, TextSelection
from dff.edits.operations import Transform
from dff.edits.selections import MovedSelection
from dff.edits.stack import followed
from dff.errors import DffError

ACTIONS = ["push", "insert", "remove", "move", "toggle", "update", "rename", "undo", "redo"]


class Snapshots:
    """What the stack should be: plain lists, copied as a whole at every action."""

    def __init__(self, steps) -> None:
        self.states, self.now = [list(steps)], 0

    @property
    def steps(self) -> list:
        return list(self.states[self.now])

    def become(self, steps) -> None:
        self.states = [*self.states[: self.now + 1], list(steps)]
        self.now += 1


def act(stack: EditStack, reference: Snapshots, action: str, data, any_step) -> None:
    """The same action on both; the reference says what must come out."""
    steps = reference.steps
    where = st.integers(0, max(len(steps) - 1, 0))
    if action == "undo":
        if reference.now == 0:
            with pytest.raises(DffError, match="nothing to undo"):
                stack.undo()
        else:
            reference.now -= 1
            stack.undo()
    elif action == "redo":
        if reference.now == len(reference.states) - 1:
            with pytest.raises(DffError, match="nothing to redo"):
                stack.redo()
        else:
            reference.now += 1
            stack.redo()
    elif action in ("push", "insert"):
        step = data.draw(any_step)
        index = data.draw(st.integers(0, len(steps))) if action == "insert" else len(steps)
        steps.insert(index, step)
        reference.become(steps)
        stack.push(step) if action == "push" else stack.insert(index, step)
    elif not steps:
        with pytest.raises(DffError, match="there is no step 1"):
            stack.remove(0)
    else:
        index = data.draw(where)
        if action == "remove":
            del steps[index]
            stack.remove(index)
        elif action == "move":
            to = data.draw(where)
            steps.insert(to, steps.pop(index))
            stack.move(index, to)
        elif action == "toggle":
            before = steps[index]
            steps[index] = before.model_copy(update={"enabled": not before.enabled})
            stack.toggle(index)
        elif action == "rename":
            steps[index] = steps[index].model_copy(update={"name": "other"})
            stack.rename(index, "other")
        else:
            steps[index] = data.draw(any_step)
            stack.update(index, steps[index])
        reference.become(steps)


@given(data=st.data())
def test_any_actions_are_those_of_a_list_of_snapshots(any_step, data):
    start = tuple(data.draw(st.lists(any_step, max_size=3)))
    stack, reference = EditStack(EditDocument(steps=start)), Snapshots(start)
    for action in data.draw(st.lists(st.sampled_from(ACTIONS), max_size=12)):
        act(stack, reference, action, data, any_step)
        assert list(stack.document.steps) == reference.steps
        assert (stack.undoable is None) == (reference.now == 0)
        assert (stack.redoable is None) == (reference.now == len(reference.states) - 1)
    for state in reversed(reference.states[: reference.now]):
        assert list(stack.undo().steps) == state
    assert stack.document == EditDocument(steps=start)
    for state in reference.states[1:]:
        assert list(stack.redo().steps) == state
    assert stack.redoable is None


def step(name=None, operation=None, **selection) -> EditStep:
    chosen = MovedSelection(**selection) if selection else TextSelection(text=("apple",))
    return EditStep(name=name, selection=chosen, operation=operation or Delete())


def stack_of(*steps: EditStep) -> EditStack:
    return EditStack(EditDocument(steps=steps))


def test_a_new_action_drops_what_was_undone():
    stack = stack_of(step("a"))
    stack.push(step("b"))
    stack.push(step("c"))
    stack.undo()
    stack.undo()
    stack.push(step("d"))
    assert [each.name for each in stack.document.steps] == ["a", "d"]
    assert stack.redoable is None
    assert [each.name for each in stack.undo().steps] == ["a"]


def test_actions_have_names():
    stack = stack_of(step("mug"), step())
    stack.toggle(0)
    assert stack.undoable == "switch off step 1 ('mug')"
    stack.toggle(0)
    assert stack.undoable == "switch on step 1 ('mug')"
    stack.move(1, 0)
    assert stack.undoable == "move step 2"
    stack.undo()
    assert stack.redoable == "move step 2"


def test_steps_are_shared_between_moments_and_nothing_is_copied():
    steps = [step(str(number)) for number in range(50)]
    stack = stack_of(*steps)
    for number in range(200):
        stack.move(number % 50, (number * 7) % 50)
    kept = {id(each) for moment in stack.moments for each in moment.document.steps}
    assert kept == {id(each) for each in steps}


def test_a_dragged_slider_is_one_action():
    stack = stack_of(step(operation=Opacity(factor=1.0)), step())
    stack.update(0, step(operation=Opacity(factor=0.9)))
    for factor in (0.8, 0.7, 0.6):
        stack.update(0, step(operation=Opacity(factor=factor)), amend=True)
    assert stack.document.steps[0].operation == Opacity(factor=0.6)
    stack.update(1, step("x"), amend=True)
    assert len(stack.moments) == 3
    stack.undo()
    stack.undo()
    assert stack.document.steps[0].operation == Opacity(factor=1.0)
    # What was undone is not amended but replaced.
    stack.redo()
    stack.update(0, step(operation=Opacity(factor=0.1)), amend=True)
    assert [each.action for each in stack.moments] == ["", "change step 1", "change step 1"]


MOVED = Transform(translate=(1.0, 0.0, 0.0))


class TestFollowing:
    """Where a step is after an action."""

    @pytest.mark.parametrize(
        ("action", "places"),
        [
            (lambda stack: stack.remove(0), [None, 0, 1]),
            (lambda stack: stack.insert(1, step("d")), [0, 2, 3]),
            (lambda stack: stack.move(0, 2), [2, 0, 1]),
            (lambda stack: stack.move(1, 0), [1, 0, 2]),
            (lambda stack: stack.toggle(1), [0, 1, 2]),
            (lambda stack: stack.rename(1, "e"), [0, 1, 2]),
        ],
    )
    def test_it_is_found_and_found_again_after_undo(self, action, places):
        stack = stack_of(step("a"), step("b", MOVED), step("c", step=2))
        before = stack.document.steps
        action(stack)
        after = stack.document.steps
        assert [followed(before, index, after) for index in range(3)] == places
        stack.undo()
        again = stack.document.steps
        kept = [(old, new) for old, new in enumerate(places) if new is not None]
        assert [followed(after, new, again) for _, new in kept] == [old for old, _ in kept]

    def test_one_that_changes_stays_and_another_one_in_its_place_is_none(self):
        stack = stack_of(step("a"))
        before = stack.document.steps
        changed = before[0].model_copy(update={"operation": Opacity(factor=0.5)})
        stack.update(0, changed)
        assert followed(before, 0, stack.document.steps) == 0
        # As steps that are done to one selection are.
        stack.push(changed.model_copy(update={"operation": Opacity(factor=0.1)}))
        both = stack.document.steps
        stack.undo()
        assert followed(both, 1, stack.document.steps) is None
        assert followed(both, 0, stack.document.steps) == 0
        assert followed(both, 1, both[:1] + stack_of(step("z")).document.steps) is None


class TestGoingOn:
    """Another history follows the present moment."""

    def test_all_of_both_can_be_undone_to(self):
        later, stack = stack_of(step("a")), stack_of(step("a"))
        later.push(step("b"))
        later.push(step("c"))
        later.undo()
        stack.push(step("d"))
        stack.go_on(later)
        assert [each.name for each in stack.document.steps] == ["a", "b"]
        assert [each.name for each in stack.redo().steps] == ["a", "b", "c"]
        names = [[each.name for each in stack.undo().steps] for _ in range(3)]
        assert names == [["a", "b"], ["a", "d"], ["a"]]
        assert stack.undoable is None

    def test_another_beginning_can_be_undone_to(self):
        later, stack = stack_of(step("a")), stack_of(step("x"))
        later.push(step("b"))
        stack.go_on(later)
        names = [[each.name for each in stack.undo().steps] for _ in range(2)]
        assert names == [["a"], ["x"]]

    def test_what_it_stands_at_is_what_is_now(self):
        later, stack = stack_of(step("a")), stack_of(step("a"))
        later.push(step("b"))
        later.undo()
        stack.push(step("d"))
        assert [each.name for each in stack.go_on(later).steps] == ["a"]
        assert [each.name for each in stack.redo().steps] == ["a", "b"]

    def test_it_is_the_same_history_where_nothing_was_done(self):
        later, stack = stack_of(step("a")), stack_of(step("a"))
        later.push(step("b"))
        later.push(step("c"))
        later.undo()
        stack.go_on(later)
        assert (stack.moments, stack.now) == (later.moments, later.now)


class TestReferences:
    """Steps that select what another one brought keep meaning that one."""

    def test_numbers_follow_the_step_they_mean(self):
        stack = stack_of(step("a"), step("move", MOVED), step("c", step=2))
        assert stack.insert(0, step("first")).steps[3].selection.step == 3
        assert stack.remove(1).steps[2].selection.step == 2
        assert stack.move(1, 0).steps[2].selection.step == 1
        assert stack.push(step("last", step=1)).steps[3].selection.step == 1
        names = [each.name for each in stack.move(2, 3).steps]
        assert names == ["move", "first", "last", "c"]
        assert [each.selection.step for each in stack.document.steps[2:]] == [1, 1]

    def test_names_follow_a_renaming(self):
        stack = stack_of(step("a", MOVED), step(step="a"), step(step=1))
        selections = [each.selection for each in stack.rename(0, "b").steps[1:]]
        assert selections == [MovedSelection(step="b"), MovedSelection(step=1)]
        selections = [each.selection for each in stack.rename(0, None).steps[1:]]
        assert selections == [MovedSelection(step=1)] * 2

    @given(data=st.data())
    def test_whatever_moves_each_step_means_the_one_it_meant(self, data):
        names = [f"step {number}" for number in range(6)]
        meant = {}
        stack = EditStack()
        for number, name in enumerate(names):
            target = data.draw(st.none() | st.integers(1, number)) if number else None
            stack.push(step(name, MOVED) if target is None else step(name, MOVED, step=target))
            if target is not None:
                meant[name] = names[target - 1]
        for number in range(8):
            action = data.draw(st.sampled_from([stack.move, stack.insert, stack.remove]))
            places = st.integers(0, max(len(stack.document.steps) - 1, 0))
            before = stack.document
            try:
                if action == stack.move:
                    stack.move(data.draw(places), data.draw(places))
                elif action == stack.insert:
                    stack.insert(data.draw(places), step(f"new {number}", MOVED))
                else:
                    stack.remove(data.draw(places))
            except DffError:
                assert stack.document is before
            steps = stack.document.steps
            found = {
                each.name: steps[each.selection.step - 1].name
                for each in steps
                if isinstance(each.selection, MovedSelection)
            }
            assert found == {name: meant[name] for name in found}
            assert {n for n in meant if n in [each.name for each in steps]} == set(found)

    @pytest.mark.parametrize(("index", "to"), [(2, 0), (1, 2)])
    def test_a_name_that_would_mean_two_steps_is_refused(self, index, to):
        stack = stack_of(step("a", MOVED), step("c", step="a"), step("a", MOVED))
        before = stack.document
        with pytest.raises(DffError) as caught:
            stack.move(index, to)
        assert str(caught.value) == (
            "step 2 ('c') selects what step 1 ('a') brought, and step 3 has that name too: "
            "rename one"
        )
        assert stack.document is before

    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            (lambda stack: stack.remove(1), "step 3 ('c') selects what step 2 ('b') brought"),
            (
                lambda stack: stack.move(1, 2),
                "step 3 ('c') selects what step 2 ('b') brought: it has to stay after it",
            ),
            (lambda stack: stack.move(2, 0), "step 3 ('c') selects what step 2 ('b') brought"),
            (lambda stack: stack.update(1, step()), "step 3 ('c'): selection.step: step 2 brings"),
            (lambda stack: stack.push(step(step="x")), "no earlier step is called 'x'"),
            (lambda stack: stack.toggle(3), "there is no step 4: there are 3"),
            (lambda stack: stack.toggle(-1), "there is no step 0"),
            (lambda stack: stack.insert(4, step()), "cannot be put at 5: there are 3"),
            (lambda stack: stack.move(0, 3), "there is no step 4"),
            (lambda stack: stack.rename(0, "x" * 201), "name must be at most 200 characters"),
            (lambda stack: stack.rename(0, "\x1b[0m"), "name: '\\x1b[0m' holds control"),
        ],
    )
    def test_what_would_break_a_document_is_refused_and_changes_nothing(self, wrong, says):
        stack = stack_of(step("a"), step("b", MOVED), step("c", step=2))
        stack.toggle(0)
        stack.undo()
        before = stack.moments, stack.now
        with pytest.raises(DffError) as caught:
            wrong(stack)
        assert says in str(caught.value)
        assert (stack.moments, stack.now) == before


def test_more_steps_than_a_document_may_have_are_refused():
    stack = stack_of(*[step()] * 1000)
    with pytest.raises(DffError, match="1001 steps: at most 1000"):
        stack.push(step())
