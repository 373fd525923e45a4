"""What panels do with their elements, on elements that write down what they are told."""

from __future__ import annotations

from dff.editor.elements import NOTHING, offer, put


class Told:
    """An element, and what it was told."""

    def __init__(self, **properties) -> None:
        vars(self).update(properties, told=[])

    def __setattr__(self, name, value) -> None:
        self.told.append((name, value))
        vars(self)[name] = value


def test_only_what_differs_is_told():
    element = Told(content="as before", visible=True)
    put(element, content="as before", visible=False)
    assert element.told == [("visible", False)]
    assert not element.visible


def test_a_list_from_a_browser_is_the_tuple_that_it_was_sent():
    element = Told(value=[255, 0, 0])
    put(element, value=(255, 0, 0))
    assert element.told == []
    put(element, value=(0, 0, 255))
    assert element.told == [("value", (0, 0, 255))]


def test_entries_are_offered_once_and_without_any_there_is_nothing():
    dropdown = Told(options=(NOTHING,), value=NOTHING)
    offer(dropdown, [])
    assert dropdown.told == []
    offer(dropdown, {"one": 1, "two": 2})
    offer(dropdown, iter(("one", "two")))
    assert dropdown.told == [("options", ("one", "two"))]
