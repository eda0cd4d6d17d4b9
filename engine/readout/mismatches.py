"""What an operator may acknowledge: the sample ratio mismatches that a report finds now."""

from typing import Any

import msgspec
from msgspec.structs import replace

from engine.core.errors import UsageError
from engine.core.model.instants import Instant
from engine.readout.findings import read_out
from engine.readout.studies import studies
from engine.release.experiment_orders import ExperimentOrder, require_cause
from engine.release.playbook import Playbook
from engine.store.connection import Connection


def explained(
    connection: Connection, playbook: Playbook, order: Any, *, as_of: Instant
) -> dict[str, Any]:
    """An order as plain data; an acknowledgement with the mismatches that it is the cause of.

    Read here and not within the order: a read-out may take long, and the order holds the writer.

    Raises:
        UsageError: If there is nothing to acknowledge, or no cause is given.
    """
    asked = msgspec.convert(order, ExperimentOrder)
    if asked.action == "acknowledge":
        require_cause(asked.why)
        found = mismatches(connection, playbook, asked.experiment, as_of=as_of)
        asked = replace(asked, of=found)
    plain: dict[str, Any] = msgspec.to_builtins(asked)
    return plain


def mismatches(
    connection: Connection, playbook: Playbook, name: str, *, as_of: Instant
) -> tuple[str, ...]:
    """The populations of an experiment that do not have their planned shares, by name.

    A cause of nothing is refused: kept, it would switch off the veto of a mismatch yet to come.
    Empty where there is no such experiment: the order refuses it, and knows the names.

    Raises:
        UsageError: If there is nothing to acknowledge.
    """
    program = playbook.program
    if all(each != name for each, _ in program.experiments):
        return ()
    found = [it for it in studies(program, playbook.workspace) if it.name == name]
    if not found:
        raise UsageError(
            f'experiment "{name}" has no metrics, so no numbers of it are withheld and there'
            " is nothing to acknowledge. Give it metrics, then run: antiphon apply"
        )
    (study,) = found
    phase = program.experiments.get((name, study.phase))
    read = read_out(connection, study, as_of=as_of, experiment=phase)
    if read.readout is not None and read.readout.mismatches:
        return read.readout.mismatches
    if read.readout is None:
        why = f"there is no read-out to compare with the planned shares: {read.why_not}"
    else:
        srm = read.readout.srm
        units = " / ".join(f"{n:,}" for n in srm.observed.values())
        why = (
            f"its sample ratio is as planned ({units} units, p = {srm.deciding_pvalue:.2g}): there"
            " is no mismatch to explain"
        )
    raise UsageError(
        f'experiment "{name}", phase {study.phase}: {why}. A cause kept now would hide a mismatch'
        f" that comes later. Run: antiphon experiment report {name}; once it withholds its numbers"
        " for a sample ratio mismatch, acknowledge that one with its cause"
    )
