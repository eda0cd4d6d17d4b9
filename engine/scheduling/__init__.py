"""Recurring jobs: one table of schedules, each run claimed once, by whichever engine runs it."""
