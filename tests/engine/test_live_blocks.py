"""Products in a message are those of the moment it is sent, however long it waited."""

from collections.abc import Iterator

import pytest

from engine.core.model.instants import HOUR
from tests.engine.publishing import FILES, SETTINGS, Published

PRODUCTS = "id,title,url,price,in_stock\nt1,Tea,https://shop.example/t1,4.50,true\n"
BLOCK = (
    '{% feed "new-in" 1 in_stock=true if_fewer="skip" as it %}{{ it.title }} {{ it.price | money }}'
)
SHOP = {
    **FILES,
    "antiphon.yaml": SETTINGS + 'currency: EUR\nquiet_hours: {from: "21:00", to: "09:00"}\n',
    "catalog/new-in.csv": PRODUCTS,
    "templates/email/soft.txt": f"---\nsubject: New\n---\n{BLOCK}{{% endfeed %}} "
    "{{ unsubscribe_url }}\n",
}


@pytest.fixture
def house(database_url: str) -> Iterator[Published]:
    opened = Published(database_url)
    opened.apply(SHOP)
    opened.identify("u1")
    yield opened
    opened.close()


def queued_until_night(house: Published) -> None:
    """The message is made in the afternoon and its attempt deferred by the quiet hours."""
    house.track("u1", "Product Added", cart="c1")
    house.settle(until=house.now + 3 * HOUR)
    assert house.messages("soft") == [("queued", "")]
    house.now += 8 * HOUR
    assert house.drain().n_held == 1


def test_a_price_that_changed_while_the_message_waited_is_the_new_one(house: Published) -> None:
    queued_until_night(house)
    house.apply({**SHOP, "catalog/new-in.csv": PRODUCTS.replace("4.50", "3.90")})

    house.now += 13 * HOUR
    house.drain()

    (sent,) = house.email.calls
    assert sent.text.startswith("Tea €3.90 ")


def test_a_product_that_sold_out_while_the_message_waited_drops_it(house: Published) -> None:
    queued_until_night(house)
    house.apply({**SHOP, "catalog/new-in.csv": PRODUCTS.replace("true", "false")})

    house.now += 13 * HOUR
    house.drain()

    assert house.email.calls == []
    assert house.messages("soft") == [("dropped", "fewer than 1 product of new-in")]
