"""Starts the deployment run of a claimed schedule at Prefect, once for each try.

Prefect itself is imported with the first run: it takes a second.
"""

from typing import Any

from engine.core.clocktime import iso
from engine.core.errors import AntiphonError
from engine.scheduling.rows import Run

VARIABLE = "PREFECT_API_URL"


class NotHandedOver(AntiphonError):
    """Prefect could not be reached, or does not know our flows."""


class HandOver:
    """A Prefect server, found by PREFECT_API_URL and its other settings."""

    def start(self, deployment: str, run: Run) -> None:
        """Start the flow of a run. The same try asked for twice starts one flow run.

        Args:
            deployment: How the deployments of the workspace are called.

        Raises:
            NotHandedOver: With what Prefect says.
        """
        from prefect.client.orchestration import get_client
        from prefect.exceptions import ObjectNotFound

        name = f"{run.plan.job}/{deployment}"
        try:
            with get_client(sync_client=True) as client:
                found = client.read_deployment_by_name(name)
                client.create_flow_run_from_deployment(
                    found.id,
                    name=f"{run.schedule} {iso(run.fire_at)}",
                    parameters=parameters(found.parameters, run),
                    idempotency_key=f"antiphon:{run.key}:{run.tries}",
                )
        except ObjectNotFound:
            raise NotHandedOver(
                f'Prefect has no deployment "{name}". Run: antiphon flows deploy'
            ) from None
        except Exception as error:
            # Whatever stands between us and a server of somebody else's: it is asked again.
            raise NotHandedOver(f"Prefect: {type(error).__name__}: {error}") from error


def parameters(given: dict[str, Any], run: Run) -> dict[str, Any]:
    """What the flow is told: the deployment's own parameters, the schedule and its instant."""
    return {**given, "schedule": run.schedule, "fire_at": run.fire_at}
