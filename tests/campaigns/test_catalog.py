"""Product feeds of a workspace: read with their types, refused with their lines, shown by plan."""

from pathlib import Path

import pytest

from campaigns import catalog
from campaigns.catalog import read_catalog
from campaigns.load import load_workspace
from campaigns.plan import difference
from campaigns.problems import InvalidWorkspace
from tests.campaigns.build import a_workspace, files, problems_of
from tests.campaigns.test_plan import EXPERIMENT

CSV = """\
id,title,url,image_url,price,currency,category,in_stock
t1,"Tea, green",https://shop.example/t1,https://cdn.shop.example/t1.png,4.50,EUR,tea,true
p1,Pot,https://shop.example/p1,,30,,china,
"""


def rows(path: str, text: str) -> list[dict[str, object]]:
    one, problems = read_catalog(path, text.encode())
    assert one is not None, problems
    return list(one.rows)


def test_a_csv_is_read_with_its_types_and_blank_cells_are_not_there() -> None:
    assert rows("catalog/new-in.csv", CSV) == [
        {
            "id": "t1",
            "title": "Tea, green",
            "url": "https://shop.example/t1",
            "image_url": "https://cdn.shop.example/t1.png",
            "price": 4.5,
            "currency": "EUR",
            "category": "tea",
            "in_stock": True,
        },
        {
            "id": "p1",
            "title": "Pot",
            "url": "https://shop.example/p1",
            "price": 30,
            "category": "china",
        },
    ]


def test_json_lines_are_read_as_they_are_written() -> None:
    text = '{"id": 7, "title": "Tea", "url": "https://s.example", "stars": 4.5, "new": true}\n\n'

    assert rows("catalog/x.jsonl", text) == [
        {"id": "7", "title": "Tea", "url": "https://s.example", "stars": 4.5, "new": True}
    ]


HEAD = "id,title,url,price,in_stock,currency\n"
FINE = "1,Tea,https://s.example,1,true,EUR\n"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "the feed is empty"),
        ("id,title,price\n", 1, 'no column "url"'),
        ("id,titel,url\n", 1, 'no column "title". Did you mean "titel"?'),
        ("id,title,url,Price\n", 1, '"Price" is no name of a column'),
        ("id,title,url,id\n", 1, '"id" is there twice'),
        (HEAD + FINE + FINE, 3, 'the product "1" is on line 2 already'),
        (HEAD + "1,Tea,,1,true,EUR\n", 2, "the product has no url"),
        (HEAD + "1,Tea,shop.example,1,true,EUR\n", 2, "url is a web address"),
        (HEAD + "1,Tea,https://s.example,cheap,true,EUR\n", 2, '"cheap" is no price'),
        (HEAD + "1,Tea,https://s.example,1,yes,EUR\n", 2, 'in_stock is true or false, not "yes"'),
        (HEAD + "1,Tea,https://s.example,1,true,Euro\n", 2, '"Euro" is no currency'),
        (HEAD + "1,Tea,https://s.example\n", 2, "3 values for 6 columns"),
        (HEAD + '1,"Tea\nfor two",https://s.example,x,true,EUR\n', 3, '"x" is no price'),
        (HEAD + "1," + "x" * 5000 + ",https://s.example,1,true,EUR\n", 2, "title has 5,000"),
        (HEAD + '1,"Tea,https://s.example,1,true,EUR\n', 2, "cannot be read"),
    ],
)
def test_a_slip_in_a_feed_is_named_at_its_line(text: str, line: int, says: str) -> None:
    (found,) = [it for it in problems_of({"catalog/new-in.csv": text}) if "catalog" in it]

    assert found.startswith(f"catalog/new-in.csv:{line}: ")
    assert says in found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{oops}\n", "is not JSON"),
        ("[1]\n", "a product is a JSON object"),
        ('{"id": "1", "title": ["a"], "url": "https://s.example"}\n', "not a list or a map"),
        ('{"id": "1", "title": "a", "url": "https://s.example", "A b": 1}\n', "of a-z, 0-9 and _"),
        ('{"id": "1", "title": "a", "url": "https://s.example", "price": NaN}\n', "is no price"),
        ('{"a": ' * 5000 + "\n", "is not JSON"),
    ],
)
def test_a_slip_in_json_lines_is_named_at_its_line(text: str, says: str) -> None:
    (found,) = problems_of({"catalog/new-in.jsonl": text})

    assert found.startswith("catalog/new-in.jsonl:1: ")
    assert says in found


def test_a_feed_is_bounded_in_rows_bytes_and_complaints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "ROWS_MAX", 3)
    monkeypatch.setattr(catalog, "CATALOG_BYTES_MAX", 2_000)
    many = HEAD + "".join(f"{n},Tea,https://s.example,1,true,EUR\n" for n in range(9))
    wrong = HEAD + "".join(f"{n},Tea,nowhere,1,true,EUR\n" for n in range(60))

    assert "at most 3 products" in str(read_catalog("catalog/a.csv", many.encode())[1][0])
    assert len(read_catalog("catalog/b.csv", wrong.encode())[1]) == catalog.PROBLEMS_MAX + 1
    assert "at most 2,000 are read" in str(read_catalog("catalog/c.csv", b"x" * 2_001)[1][0])


def test_two_files_of_one_feed_and_files_that_are_none_are_told(tmp_path: Path) -> None:
    for path, content in files({"catalog/a.csv": CSV}).items():
        (tmp_path / path).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / path).write_bytes(content)
    (tmp_path / "catalog/a.jsonl").write_text('{"id":"1","title":"t","url":"https://s.example"}')
    (tmp_path / "catalog/photo.png").write_bytes(b"x")
    (tmp_path / "catalog/Shop List.csv").write_text(CSV)

    with pytest.raises(InvalidWorkspace) as refusal:
        load_workspace(tmp_path, environ={})

    said = [str(it) for it in refusal.value.problems]
    assert any('catalog/a.jsonl: the feed "a" is in catalog/a.csv already' in it for it in said)
    assert any("catalog/photo.png: a feed is catalog/NAME.csv or .jsonl" in it for it in said)
    assert any("catalog/Shop List.csv: a feed is catalog/NAME.csv" in it for it in said)


def test_plan_says_how_many_products_come_go_and_change() -> None:
    old = a_workspace({"catalog/new-in.csv": CSV})
    new = a_workspace(
        {"catalog/new-in.csv": CSV.replace("4.50", "3.90").replace("p1,Pot", "p2,Pot")}
    )

    (added,) = [it for it in difference(None, old) if it.construct == "feed"]
    (changed,) = difference(old, new)

    assert (added.kind, added.name, added.detail) == ("+", "new-in", "2 products")
    assert changed.detail == "products: 1 new, 1 gone, 1 changed"
    assert difference(old, a_workspace({"catalog/new-in.csv": CSV})) == []


# --- partials in plan and check ------------------------------------------------------------------

FOOTER = "templates/email/_partials/footer.html"
WITH_FOOTER = {
    "templates/email/remind.html": '---\nsubject: Hello\n---\n<p>Hello</p>{% include "footer" %}',
    "templates/email/code.html": "---\nsubject: Code\nlayout: shop\n---\n<p>Code</p>",
    "templates/email/_layouts/shop.html": '{{ content }}{% include "footer" %}',
    FOOTER: "<p>Stop</p>",
}


def test_a_changed_partial_is_a_change_of_each_template_that_uses_it() -> None:
    old = a_workspace(WITH_FOOTER)
    new = a_workspace({**WITH_FOOTER, FOOTER: "<p>Stop it</p>"})

    found = difference(old, new)

    assert [(it.kind, it.construct, it.name, it.detail) for it in found] == [
        ("~", "template", "email/code", f"{FOOTER} changed"),
        ("~", "template", "email/remind", f"{FOOTER} changed"),
    ]
    assert old.template_hash("sms", "code") == new.template_hash("sms", "code")


def test_a_changed_partial_opens_a_phase_of_an_experiment_that_sends_it() -> None:
    old = a_workspace({**EXPERIMENT, **WITH_FOOTER})
    new = a_workspace({**EXPERIMENT, **WITH_FOOTER, FOOTER: "<p>Stop it</p>"})

    (found,) = [it for it in difference(old, new) if it.construct == "experiment"]

    assert found.opens_phase
    assert "the template email/remind changed" in found.detail


def test_a_partial_that_nothing_uses_is_worth_a_note() -> None:
    idle = "templates/email/_partials/idle.html"

    noted = a_workspace({**WITH_FOOTER, idle: "x"}).notices

    assert [(it.file, it.message) for it in noted] == [
        (idle, "no template uses this. Delete it, or write its name into one.")
    ]
    assert a_workspace(WITH_FOOTER).notices == ()


def test_another_folder_among_the_templates_is_told() -> None:
    (found,) = problems_of({"templates/email/_parts/footer.html": "x"})

    assert "templates/email/_parts/footer.html" in found
    assert "templates/<channel>/[_partials/ | _layouts/]<name>" in found
