"""Steps from one database schema to the next (Alembic), proved equal to `engine/tables.py`."""
