"""The YAML reader: text stays text, and no hostile file costs more than a tenth of a second."""

import gc
from time import thread_time

import pytest

from campaigns.reading import BYTES_MAX, Text, Unreadable, number, plain, read_yaml, scalar

LAUGHS = "a0: &a0 [lol]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30)
)

HOSTILE = {
    "billion laughs": LAUGHS,
    "an alias": "a: *b",
    "an anchor": "a: &b c",
    "a tag": "a: !!python/object/apply:os.system [ls]",
    "a custom tag": "a: !include /etc/passwd",
    "a merge of nothing": "<<: *base",
    "two megabytes": "a: " + "x" * 2_000_000,
    "depth 100": "a: " + "[" * 100 + "]" * 100,
    "a megabyte of brackets": "a: " + "[" * (BYTES_MAX - 10),
    "a megabyte of braces": "a: " + "{a: " * (BYTES_MAX // 5),
    "a megabyte of dashes": "- " * (BYTES_MAX // 2 - 10),
    "too many values": "a: [" + "1," * 60_000 + "]",
    "two documents": "a: 1\n---\nb: 2",
    "a directive": "%YAML 1.1\n---\na: 1",
    "not UTF-8": b"a: \xff\xfe",
    "a NUL": "a: b\0c",
    "an escaped NUL": 'a: "b\\0c"',
    "twice the same key": "a: 1\na: 2",
    "a list as key": "? [a]\n: b",
    "nothing": "",
    "only a comment": "# nothing\n",
    "a list": "- a",
    "one word": "hello",
    "an open quote": 'a: "b',
    "a tab": "a:\n\tb: c",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_is_refused_with_its_file_in_under_100_ms(name: str) -> None:
    source = HOSTILE[name]
    data = source if isinstance(source, bytes) else source.encode()

    gc.collect()  # or what tests before have left behind is counted
    started = thread_time()
    with pytest.raises(Unreadable) as refusal:
        read_yaml("campaigns/x.yaml", data)
    took = thread_time() - started

    assert str(refusal.value).startswith("campaigns/x.yaml")
    assert took < 0.1, f"{name} took {took:.3f} s"


@pytest.mark.parametrize(
    ("source", "line", "says"),
    [
        ("a: 1\nb: *x", 2, "alias"),
        ("a: 1\nb: &x c", 2, "anchor"),
        ("a: 1\nb: !x c", 2, "tag"),
        ("a: 1\nb: 2\na: 3", 3, "already on line 1"),
        ("a: 1\n---\nb: 2", 2, "second document"),
        ("a: 1\nb: {{ profile.name }}", 2, "Quote the whole value"),
        ("a: 1\nb: Hello {{ profile.name }}", 2, "Quote the whole value"),
        ("a: 1\nb: {{ a }} and more", 2, "Quote the whole value"),
        ("a: 1\nb: [{{ a }}, {{ b }}]", 2, "Quote the whole value"),
        ("a:\n  - b\n c: d", 3, "not YAML"),
        ("a: b\nc: d\x7f", 2, "control character"),
        ("a:\n" + "".join("  " * n + "- \n" for n in range(1, 40)), 33, "deeper than 32"),
    ],
)
def test_a_refusal_names_the_line_and_the_way_out(source: str, line: int, says: str) -> None:
    with pytest.raises(Unreadable) as refusal:
        read_yaml("x.yaml", source.encode())

    assert refusal.value.problem.line == line
    assert says in refusal.value.problem.message


def test_scalars_stay_as_they_were_written() -> None:
    source = "\n".join(
        ["a: NO", "b: 10:30", "c: 0123", "d: +4915112345", "e: .5", "f: 1_000", "g: yes", "h: ~"]
    )

    tree = read_yaml("x.yaml", source.encode())

    assert plain(tree) == {
        "a": "NO", "b": "10:30", "c": "0123", "d": "+4915112345", "e": ".5", "f": "1_000",
        "g": "yes", "h": "~",
    }  # fmt: skip


def test_only_json_words_have_a_meaning_of_their_own_and_only_unquoted() -> None:
    tree = read_yaml("x.yaml", b'a: [true, false, null, 12, -0.5, 1e3, "true", "12"]')

    assert plain(tree) == {"a": [True, False, None, 12, -0.5, 1000.0, "true", "12"]}


@pytest.mark.parametrize("text", ["9007199254740993", "1e999", "1" * 40])
def test_numbers_that_readers_disagree_on_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"lose digits|too large|more digits"):
        scalar(Text(text))


def test_a_number_is_what_json_says() -> None:
    assert [number(text) for text in ("0", "-12", "0.25", "2e3")] == [0, -12, 0.25, 2000.0]
    for text in ("01", "+1", ".5", "1.", "0x10", "NaN", "Infinity", "1_0"):
        with pytest.raises(ValueError, match="not a number"):
            number(text)


def test_every_text_and_key_knows_its_line() -> None:
    tree = read_yaml("x.yaml", b"a: 1\nb:\n  - c\n  - {d: e}\n")

    assert tree["b"][0].line == 3
    assert tree["b"][1].key_lines == {"d": 4}
