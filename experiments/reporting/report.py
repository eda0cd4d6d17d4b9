"""A readout for people and machines: terminal text, Markdown, JSON, and one HTML file.

Under a sample ratio mismatch the texts for people show sizes and plain means but no effect; the
JSON keeps the numbers for whoever looks for the cause, under the verdict "withheld". Before the
first look is due no face shows any number of an effect.
"""

from experiments.reporting.html import Note, Section, Table, html
from experiments.reporting.json_form import as_json
from experiments.reporting.markdown import markdown
from experiments.reporting.schema import json_schema
from experiments.reporting.terminal import text

__all__ = ["Note", "Section", "Table", "as_json", "html", "json_schema", "markdown", "text"]
