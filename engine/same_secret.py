"""Whether a database was made under our secret: another one could read none of its people."""

from engine.core.errors import StoreError
from engine.store.connection import Connection
from engine.vault import Vault


def require_same_secret(connection: Connection, vault: Vault) -> None:
    """Refuse to run under another secret than the data was sealed with; the first one is kept.

    Raises:
        StoreError: If it is another.
    """
    connection.execute(
        "INSERT INTO setting (name, value) VALUES ('key_check', ?) ON CONFLICT DO NOTHING",
        (vault.key_check,),
    )
    rows = connection.execute("SELECT value FROM setting WHERE name = 'key_check'")
    if rows[0][0] != vault.key_check:
        raise StoreError(
            "this database was made under another ANTIPHON_SECRET_KEY: personal data in it "
            "could not be read. Give the one it was made with (or its .antiphon/secret)"
        )
