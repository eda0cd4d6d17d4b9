"""Honest experiments: assignment, sufficient statistics, comparison, verdict, report.

Pure: imports nothing else of Antiphon, reads no clock, does no I/O and draws no random number.
Usable alone as a statistics library. Read `assignment` for who gets what, `aggregates` for what the
analysis needs to know of the data, `analyze` for the verdict, `report` for showing it.
"""
