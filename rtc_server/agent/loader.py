"""Agents by name: an ADK folder as ``adk web`` takes it, or ``package.module:attribute``."""

from __future__ import annotations

import importlib
import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from google.adk.agents.base_agent import BaseAgent
from google.adk.agents.run_config import RunConfig
from google.adk.agents.sequential_agent import SequentialAgent
from google.adk.apps.app import App
from google.adk.cli.utils.agent_loader import AgentLoader
from google.adk.cli.utils.envs import load_dotenv_for_agent
from google.adk.models.google_llm import Gemini
from google.adk.workflow import BaseNode

from ..errors import AgentLoadError
from .adk_internals import has_live_run
from .models.agent_models import (
    AgentModels,
    fallback_models,
    has_live_connection,
    prepare_models,
    without_live_connection,
)
from .run_config_fields import UnfitField, fields_of, typed_fields

__all__ = ["LoadedAgent", "load_agent", "load_fallback"]

logger = logging.getLogger(__name__)

_ADK_PREFIX = re.compile(r"^Fail to load '[^']*' (?:module|config)\. ")
_FOLDER_NAME = re.compile(r"[a-zA-Z0-9_]+", re.ASCII)
_KEYS = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
_CLOUD = ("GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_VERTEXAI")


@dataclass(frozen=True, slots=True)
class LoadedAgent:
    """An agent ready to be served."""

    name: str
    """What callers name it by."""
    app: App
    """The ADK app around it, the agent's own or a plain one."""
    run_config: Mapping[str, Any] = field(default_factory=dict)
    """The fields of ``RunConfig`` that its module sets, of ADK's types."""
    ask_again: bool = False
    """A turn that was lost with the connection to the model is put to it again."""

    @classmethod
    def from_object(
        cls, name: str, target: Any, run_config: Any = None, *, ask_again: bool = False
    ) -> LoadedAgent:
        """``target``, an ADK agent, node or app, under ``name``.

        Args:
            run_config: an ADK ``RunConfig`` or a dictionary of its fields, for every call.
            ask_again: a turn that was lost may be put to the model again.

        Raises:
            AgentLoadError: it is something else, or its model cannot be used.
        """
        if isinstance(target, App):
            app = target
        elif isinstance(target, BaseNode):
            app = App(name=_app_name(name), root_agent=target)
        else:
            kind = type(target).__name__
            raise AgentLoadError(f"The agent {name} is a {kind}, not an ADK agent or app.")
        _check_runs_live(name, app.root_agent)
        _check_models(name, app)
        return cls(name, app, _run_config_fields(name, run_config), ask_again)


def load_agent(spec: str) -> LoadedAgent:
    """The agent that ``spec`` names.

    Args:
        spec: path of an agent folder (``agent.py`` with ``root_agent`` or ``app``, or
            ``root_agent.yaml``), absolute or from the working folder; or
            ``package.module:attribute``, found from the working folder, too.  The ``.env``
            file nearest above is loaded as ADK does it.  The agent's module may hold a
            ``run_config`` beside it.

    Raises:
        AgentLoadError: in one sentence, what is wrong and where.
    """
    path = Path(spec).expanduser()
    if ":" in spec and not path.exists():
        return _load_attribute(spec)
    return _load_folder(spec, path)


def load_fallback(name: str, first_agent: str) -> AgentModels:
    """The model ``name``, to be asked while those of the agent are away.

    Raises:
        AgentLoadError: ADK does not know it, or there is no key for it.
    """
    try:
        models = fallback_models(name, first_agent)
    except Exception as error:  # an unknown model, or one whose package is missing
        words = str(error).strip().partition("\n")[0]
        raise AgentLoadError(f"The fallback model {name} cannot be used: {words}") from error
    for model in models.models:
        if not has_live_connection(model):
            raise AgentLoadError(
                f"The fallback model {name} cannot be used: there is no live connection to it."
            )
        if isinstance(model, Gemini) and not _has_credentials(model):
            raise AgentLoadError(
                f"There is no key for the fallback model {name}: set GOOGLE_API_KEY, or "
                "GOOGLE_GENAI_USE_ENTERPRISE=TRUE with GOOGLE_CLOUD_PROJECT and "
                "GOOGLE_CLOUD_LOCATION, in the environment or in the agent's .env file."
            )
    return models


def _load_folder(spec: str, path: Path) -> LoadedAgent:
    folder = path.resolve()
    if not folder.exists():
        raise AgentLoadError(f"There is no agent folder {spec}.")
    if not folder.is_dir():
        raise AgentLoadError(
            f"{spec} is not a folder: name the folder that holds agent.py, or module:attribute."
        )
    name = folder.name
    if not _FOLDER_NAME.fullmatch(name):
        raise AgentLoadError(
            f"ADK takes no agent folder named {name!r}: use letters, digits and underscores only."
        )
    single = any((folder / one).is_file() for one in ("agent.py", "root_agent.yaml"))
    if not single and not (folder / "__init__.py").is_file():
        raise AgentLoadError(
            f"The folder {spec} holds no agent: it needs an agent.py with root_agent or app."
        )
    loader = AgentLoader(str(folder if single else folder.parent))
    try:
        target = loader.load_agent(name)
    except (Exception, SystemExit) as error:  # whatever importing somebody's agent raises
        raise _explain(spec, folder, error) from error
    modules = [sys.modules[one] for one in (f"{name}.agent", name) if one in sys.modules]
    found = (_run_config_in(one) for one in modules)
    run_config = next((one for one in found if one is not None), None)
    ask_again = any(_asks_again(one) for one in modules)
    return LoadedAgent.from_object(name, target, run_config, ask_again=ask_again)


def _load_attribute(spec: str) -> LoadedAgent:
    module_name, _, attribute = spec.partition(":")
    if not module_name or not attribute:
        raise AgentLoadError(f"{spec} is not of the form package.module:attribute.")
    here = Path.cwd()
    if str(here) not in sys.path:
        sys.path.insert(0, str(here))
    load_dotenv_for_agent("", str(here))
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever importing somebody's agent raises
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{module_name}.".startswith(f"{missing}."):
            raise AgentLoadError(f"There is no module {module_name} to load {spec} from.") from None
        raise _explain(spec, here, error) from error
    target: Any = module
    for one in attribute.split("."):
        if not hasattr(target, one):
            raise AgentLoadError(f"The module {module_name} has no {attribute}.")
        target = getattr(target, one)
    name = getattr(target, "name", attribute)
    return LoadedAgent.from_object(
        name, target, _run_config_in(module), ask_again=_asks_again(module)
    )


def _run_config_in(module: ModuleType) -> Any:
    """What a module says of its agent's live runs; None where it says nothing."""
    found = getattr(module, "run_config", None)
    return None if isinstance(found, ModuleType) else found  # a submodule of that name


def _asks_again(module: ModuleType) -> bool:
    """Whether a module says ``ask_again = True``."""
    return getattr(module, "ask_again", False) is True


def _run_config_fields(name: str, run_config: Any) -> dict[str, Any]:
    if run_config is None:
        return {}
    if not isinstance(run_config, RunConfig | Mapping):
        kind = type(run_config).__name__
        raise AgentLoadError(
            f"The run_config of the agent {name} is of type {kind}, not an ADK RunConfig or a dict."
        )
    try:
        return typed_fields(fields_of(run_config))
    except UnfitField as error:
        raise AgentLoadError(
            f"The run_config of the agent {name} does not fit ADK's RunConfig: {error.path}"
        ) from None


# --------------------------------------------------------------------------
# What went wrong
# --------------------------------------------------------------------------


def _explain(spec: str, folder: Path, error: Exception | SystemExit) -> AgentLoadError:
    """One sentence on why importing an agent failed: the exception, its words, its place."""
    text = str(error)
    if isinstance(error, ValueError) and text.startswith("No root_agent found"):
        return AgentLoadError(f"The agent.py of {spec} defines neither root_agent nor app.")
    if isinstance(error, ValueError) and text.startswith("A 'root_agent' was found"):
        return AgentLoadError(f"The root_agent of {spec} is not an ADK agent.")
    cause = error
    if type(error).__name__ == "_AgentLoadError" and isinstance(error.__cause__, Exception):
        cause = error.__cause__
    said = str(cause)
    if isinstance(cause, SyntaxError):
        said = cause.msg  # without the place, which is named anyway
    elif isinstance(cause, KeyError) and cause.args:
        said = str(cause.args[0])  # str() would quote ADK's words with it
    words = _ADK_PREFIX.sub("", said).strip().partition("\n")[0]
    place = _place(folder, cause)
    where = f" ({place})" if place else ""
    words = f": {words[:300]}" if words else ""
    return AgentLoadError(f"The agent {spec} fails to import: {type(cause).__name__}{words}{where}")


def _place(folder: Path, error: BaseException) -> str | None:
    """``file:line`` of the innermost line of the agent's own code."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else None


def _check_runs_live(name: str, agent: Any, *, is_certain: bool = True) -> None:
    """Refuse the agents that ADK does not run live where a call must come to them.

    Where a model may transfer to them, or not, that is logged: the rest of the tree is of use.
    """
    kind = type(agent).__name__
    if isinstance(agent, BaseAgent) and not has_live_run(agent):
        if not is_certain:
            logger.warning(
                "a call that comes to %s, a %s of the agent %s, fails there: ADK does not run it "
                "live; make a tool of it (AgentTool)",
                agent.name,
                kind,
                name,
            )
            return
        what = "is" if agent.parent_agent is None else f"begins or goes on with {agent.name},"
        raise AgentLoadError(
            f"The agent {name} {what} a {kind}, which ADK does not run live: build it of a "
            "SequentialAgent, a Workflow, or agents that transfer to each other."
        )
    if isinstance(agent, BaseAgent):  # the nodes of a workflow that are no models run as ever
        is_certain = is_certain and isinstance(agent, SequentialAgent)
        for one in agent.sub_agents:
            _check_runs_live(name, one, is_certain=is_certain)


def _check_models(name: str, app: App) -> None:
    try:
        models = prepare_models(app.root_agent).models
        unfit = next(without_live_connection(app.root_agent), None)
    except Exception as error:  # an unknown model, or one whose package is missing
        words = str(error).strip().partition("\n")[0]
        raise AgentLoadError(f"The model of the agent {name} cannot be used: {words}") from error
    if unfit is not None:
        chosen, kind = unfit.canonical_live_model, type(unfit.canonical_live_model).__name__
        of = "" if unfit.parent_agent is None else f"{unfit.name} of "
        raise AgentLoadError(
            f"The agent {of}{name} uses the model {chosen.model}, to which there is no live "
            f"connection ({kind} has no connect() of its own): give it a model of a live API, "
            "or make a tool of the agent (AgentTool)."
        )
    for model in models:
        if not isinstance(model, Gemini):
            continue
        if not _has_credentials(model):
            raise AgentLoadError(
                f"The agent {name} uses the model {model.model} and there is no key for it: set "
                "GOOGLE_API_KEY (from https://aistudio.google.com/apikey), or "
                "GOOGLE_GENAI_USE_ENTERPRISE=TRUE with GOOGLE_CLOUD_PROJECT and "
                "GOOGLE_CLOUD_LOCATION for Vertex AI, in the environment or in a .env file in "
                "the agent's folder or above it."
            )
        if not any(one in model.model for one in ("live", "native-audio", "2.0-flash-exp")):
            logger.warning(
                "the model %s does not look like one of the Live API, which calls need",
                model.model,
            )


def _has_credentials(model: Gemini) -> bool:
    """Whether a key or Vertex AI was set; that it is right is known at the first call only."""
    kwargs = model.client_kwargs or {}
    if model.client is not None or model.model.startswith("projects/"):
        return True
    if any(kwargs.get(one) for one in ("api_key", "credentials", "enterprise", "vertexai")):
        return True
    if any(os.environ.get(one, "").strip().lower() in ("true", "1") for one in _CLOUD):
        return True
    keys = (os.environ.get(one, "").strip() for one in _KEYS)
    return any(key and not key.startswith("PASTE_YOUR") for key in keys)


def _app_name(name: str) -> str:
    """``name`` as ADK takes it for an app: a letter, then letters, digits, _ and -."""
    plain = re.sub(r"[^a-zA-Z0-9_-]", "_", name)
    if not plain or not plain[0].isascii() or not plain[0].isalpha() or plain == "user":
        plain = f"agent_{plain}"
    return plain
