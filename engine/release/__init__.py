"""Files become what is played: check, plan, apply, backfill, roll back. Begin with `publish`."""
