"""Files from anybody: a document or one line that says where the fault is, in bounded time."""

from __future__ import annotations

import json
import os
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dff.editor.work_file import WorkFile
from dff.edits import load_document, save_document
from dff.edits.lines import json_places
from dff.edits.reading import read_data
from dff.errors import DffError

STEP = (
    "  - selection: {text: [apple]}\n    operation: {type: recolor, function: hue, degrees: 240}\n"
)


def refusal(path) -> str:
    with pytest.raises(DffError) as caught:
        load_document(path)
    assert str(caught.value).isprintable()
    return str(caught.value)


@given(
    st.binary(max_size=60)
    | st.text(max_size=60).map(lambda t: t.encode("utf-8", "surrogatepass"))
    | st.sampled_from(
        [b"!!int ''", b"!!float x", b"!!bool x", b"!!timestamp x", b"2020-13-45", b"? [a]\n: b"]
    ),
    st.sampled_from([".yaml", ".json"]),
)
def test_any_file_is_a_document_or_one_clear_line(tmp_path, content, suffix):
    path = tmp_path / f"edits{suffix}"
    path.write_bytes(content)
    assert len(refusal(path)) < 700


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.yaml", b"", "is empty"),
        ("a.json", b" ", "is empty"),
        ("a.yaml", b"a: 1\nsteps: [", "a.yaml, line 2: not YAML"),
        ("a.yaml", b"version: 1\nsteps:\n\t- a", "a.yaml, line 3: not YAML: found character"),
        ("a.yaml", b"version: 1\nsteps: []\n---\na: 1", "a.yaml, line 3: not YAML"),
        ("a.json", b'{"version": 1,\n}', "a.json, line 2: not JSON"),
        ("a.yaml", b"\xff\xfe\x00", "not text in UTF-8"),
        ("a.yaml", b"a: \x00", "control characters are not allowed"),
        ("a.yaml", b"a: &x [1]\nb: *x\n", "a.yaml, line 2: aliases (*name) are not allowed"),
        ("a.yaml", b"version: 1\nversion: 1\n", "line 2: 'version' is given twice in one place"),
        ("a.json", b'{"a": {},\n"b": 1,\n"b": 1}', "a.json, line 3: 'b' is given twice in one pl"),
        ("a.yaml", b"!!python/object/apply:os.system [echo]", "line 1: tags (!name) are not all"),
        ("a.json", b"[" * 200_000, "nested too deeply"),
        ("a.yaml", b"[" * 20_000, "nested too deeply"),
        ("a.yaml", b"- " * 20_000, "nested too deeply"),
        ("a.yaml", b"#" * 1_000_001, "over 1 MB"),
        ("a.json", b"9" * 6000, "a.json must hold 'version' and 'steps', not inf"),
        ("\x1b[31m.yaml", b"version: 2", "\\x1b[31m.yaml, line 1: version 2 is unknown"),
    ],
)
def test_bad_files_are_explained(tmp_path, name, content, says):
    path = tmp_path / name
    path.write_bytes(content)
    assert says in refusal(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        # Nested aliases that would unfold to 9^9 values.
        (
            "a.yaml",
            "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{f'*a{i - 1},' * 9}]\n" for i in range(1, 10)),
        ),
        ("a.yaml", "[" + "{}," * 300_000 + "]"),
        ("a.yaml", "- - 1\n" * 160_000),
        # Numbers of base 60 and of a million digits, which take time that grows with their square.
        ("a.yaml", "a: " + "1:" * 400_000 + "1"),
        ("a.yaml", "a: " + "1" * 900_000),
        ("a.json", '{"version": ' + "1" * 900_000 + "}"),
        ("a.json", "[" + "{}," * 300_000 + "{}]"),
        ("a.yaml", f"version: 1\nsteps: [{{selection: {{text: [{'1,' * 45_000}]}}}}]"),
        ("a.yaml", "version: 1\nsteps:\n" + STEP * 3_500),
        ("a.yaml", "version: 1\nsteps:\n" + "  - {}\n" * 10_000),
        ("a.json", json.dumps({"version": 1, "steps": [{}] * 10_000})),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else None,
)
def test_hostile_files_are_refused_in_bounded_time(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)
    start = time.process_time()
    refusal(path)
    assert time.process_time() - start < 10


def test_ten_thousand_steps_are_one_line(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"version": 1, "steps": [{}] * 10_000}))
    assert "10000 steps: at most 1000 are allowed" in refusal(tmp_path / "a.json")


def test_a_thousand_steps_are_read(tmp_path):
    (tmp_path / "a.yaml").write_text("version: 1\nsteps:\n" + STEP * 1000)
    assert len(load_document(tmp_path / "a.yaml").steps) == 1000


def test_a_device_without_end_is_refused(tmp_path):
    (tmp_path / "a.yaml").symlink_to("/dev/zero")
    assert "over 1 MB" in refusal(tmp_path / "a.yaml")


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(
        b"\xef\xbb\xbf" + ("version: 1\nsteps:\n" + STEP).replace("\n", "\r\n").encode()
    )
    assert len(load_document(path).steps) == 1


def test_words_mean_what_they_mean_in_yaml_1_2(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("[no, on, 12:30, 2020-01-01, 1_000, 012, 1e-3, 1E5, -.5, .inf, ~, true, 1, <<]")
    expected = ["no", "on", "12:30", "2020-01-01", "1_000", "012"]
    expected += [1e-3, 1e5, -0.5, float("inf"), None, True, 1, "<<"]
    assert read_data(path).data == expected


FAULTY = {
    "a.yml": """
# a comment
version: 1
steps:
  - selection: {text: [apple]}
    operation: {type: delete}

  - name: turn
    selection:
      text: [apple]
    operation:
      type: recolor
      function: hue
      degree: 3  # line 14
""",
    "a.json": """{
\t"version": 1,
\t"note\\"[{": 1, "steps": [{"selection": {"text": ["apple", "a ] } , \\\\"]},

\t\t"operation": {"type": "delete"}},
\t\t{"name": "turn",
\t\t"selection": {"text": "apple"},
\t\t"operation": {
\t\t\t"type": "recolor",
\t\t\t"function": "hue",
\t\t\t"degree": 3}}]}
""",
}


def test_faults_are_told_with_their_line(tmp_path):
    path = tmp_path / "a.yml"
    path.write_text(FAULTY["a.yml"])
    assert refusal(path) == (
        "a.yml, line 14: step 2 ('turn'): unknown field 'operation.degree'; did you mean 'degrees'?"
    )
    path = tmp_path / "a.json"
    path.write_text(FAULTY["a.json"].replace('"note\\"[{": 1, ', ""))
    assert refusal(path) == (
        "a.json, line 11: step 2 ('turn'): unknown field 'operation.degree'; "
        "did you mean 'degrees'?"
    )
    path.write_text(FAULTY["a.json"])
    assert refusal(path) == ("a.json, line 3: unknown field 'note\"[{'; known: version, steps")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (("degree: 3", ""), 11),
        (("degree: 3", "degrees: 500"), 14),
        (("type: delete", "type: delet"), 6),
        (("version: 1", "version: 3"), 3),
        (("text: [apple]}", "text: [apple, false]}"), 5),
        (("text: [apple]}", "step: 2}"), 5),
        (("name: turn", "nam: turn"), 8),
    ],
)
def test_the_line_is_that_of_the_field_or_of_what_it_is_missing_in(tmp_path, change, line):
    text = FAULTY["a.yml"].replace(*change)
    assert text != FAULTY["a.yml"]
    if "degree" not in change[0]:
        text = text.replace("degree:", "degrees:")
    (tmp_path / "a.yml").write_text(text)
    assert refusal(tmp_path / "a.yml").startswith(f"a.yml, line {line}: ")


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=10,
)


def paths_in(data, path=()):
    inside = enumerate(data) if isinstance(data, list) else ()
    for key, value in data.items() if isinstance(data, dict) else inside:
        yield (*path, key)
        yield from paths_in(value, (*path, key))


@given(json_values, st.sampled_from([None, 0, 2]), st.booleans())
def test_every_place_of_a_json_text_is_found_in_its_line(data, indent, ascii_only):
    text = json.dumps(data, indent=indent, ensure_ascii=ascii_only)
    places = list(json_places(text))
    assert [place.path for place in places] == list(paths_in(data))
    assert not any(place.repeated for place in places)
    if indent is not None:
        # One value or key a line; opening lines count, closing ones do not.
        lines = [number for number, line in enumerate(text.split("\n"), 1) if line.strip(" ]},")]
        assert [place.line for place in places] == lines[1:]


def test_a_document_from_a_pipe_is_read(tmp_path):
    reader, writer = os.pipe()
    os.write(writer, ("version: 1\nsteps:\n" + STEP).encode())
    os.close(writer)
    assert len(load_document(f"/dev/fd/{reader}").steps) == 1
    os.close(reader)


def test_a_named_pipe_is_refused_where_nobody_may_ever_write(tmp_path):
    os.mkfifo(tmp_path / "a.yml")
    assert "a.yml is a named pipe, no file" in refusal(tmp_path / "a.yml")
    (tmp_path / "link.yml").symlink_to("a.yml")
    assert "link.yml is a named pipe, no file" in refusal(tmp_path / "link.yml")
    with pytest.raises(DffError, match=r"a\.yml is a named pipe"):
        WorkFile(tmp_path / "a.yml", print)


@pytest.mark.parametrize("digits", [101, 50_000])
def test_a_number_of_any_length_is_not_said_to_be_in_quotes(tmp_path, digits):
    count = f"selection: {{text: a}}, operation: {{type: duplicate, count: {'9' * digits}}}"
    (tmp_path / "a.yml").write_text(f"version: 1\nsteps: [{{{count}}}]")
    assert refusal(tmp_path / "a.yml").endswith(
        "operation.count must be a whole number from 1 to 100, not a huge number"
    )


@given(data=st.data())
def test_what_is_written_means_the_same_to_other_readers(documents, data, tmp_path):
    """PyYAML's own loader reads YAML 1.1; no written text may turn into something else there."""
    document = data.draw(documents)
    save_document(document, tmp_path / "a.yml")
    theirs = yaml.safe_load((tmp_path / "a.yml").read_text(encoding="utf-8"))
    assert theirs == document.model_dump(mode="json", exclude_none=True)
