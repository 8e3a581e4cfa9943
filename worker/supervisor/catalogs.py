"""The models of each project that this worker serves, each below a root of its own."""

from pathlib import Path
from typing import Final

from protocol.errors import ErrorCode
from worker.errors import RequestError
from worker.settings import Settings
from worker.supervisor.models import ModelCatalog
from worker.supervisor.runtime import StartError

DEFAULT: Final = ""
"""The project of requests and runs that name none."""


class Catalogs:
    """One catalog per project, made when the worker starts."""

    def __init__(self, settings: Settings) -> None:
        self._catalogs = {name: ModelCatalog(root) for name, root in served_roots(settings).items()}

    def __contains__(self, project: str) -> bool:
        """Whether a project is served."""
        return project in self._catalogs

    @property
    def roots(self) -> dict[str, Path]:
        """The model root of each project that is served."""
        return {name: catalog.root for name, catalog in self._catalogs.items()}

    def of(self, project: str) -> ModelCatalog:
        """The models of a project.

        Raises:
            RequestError: PROJECT_NOT_FOUND; other projects are not told.
        """
        catalog = self._catalogs.get(project)
        if catalog is None:
            raise not_served(project)
        return catalog


def served_roots(settings: Settings) -> dict[str, Path]:
    """The model root of each project that can be served.

    The default project may be without a root where there are others; then it is not served.

    Raises:
        StartError: a root that must be there is no folder.
    """
    roots = {name: project.models_dir for name, project in settings.projects.items()}
    for name, root in roots.items():
        if not root.is_dir():
            raise StartError(f"the model root {root} of project {name} is no folder; set its models_dir")
    if settings.models_dir.is_dir():
        return {DEFAULT: settings.models_dir, **roots}
    if not roots:
        raise StartError(
            f"the model root {settings.models_dir} is no folder; name one with --models or models_dir"
        )
    return roots


def not_served(project: str) -> RequestError:
    """The refusal of a project that this worker does not serve."""
    if project == DEFAULT:
        message = "this worker serves no default project; name a project in the request's field project"
        return RequestError(ErrorCode.PROJECT_NOT_FOUND, message)
    return RequestError(
        ErrorCode.PROJECT_NOT_FOUND, f"this worker does not serve the project {project}", project=project
    )
