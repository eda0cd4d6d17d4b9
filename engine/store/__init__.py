"""The only rooms that touch the operational database. Read `database` first, then `bulk`."""
