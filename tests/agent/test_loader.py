"""Loading agents, and one clear sentence where that fails."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from google.adk.agents.llm_agent import LlmAgent
from google.adk.apps.app import App
from google.adk.models.google_llm import Gemini
from google.genai import types

from rtc_server.agent.loader import LoadedAgent, load_agent
from rtc_server.errors import AgentLoadError

from .scripted_llm import ScriptedLlm

EXAMPLES = Path(__file__).parents[2] / "examples"

AGENT = """
from google.adk.agents import LlmAgent
from tests.agent.scripted_llm import ScriptedLlm
root_agent = LlmAgent(name="found", model=ScriptedLlm())
"""

GEMINI = """
from google.adk.agents import LlmAgent
root_agent = LlmAgent(name="talker", model="gemini-3.1-flash-live-preview")
"""

_numbers = itertools.count()

MakeFolder = Callable[..., Path]


@pytest.fixture
def make_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeFolder:
    """Makes an agent folder of a name that no other test imports; it is the only key's place."""
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI"):
        # Set first, so that what a .env file sets is taken back.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.delenv("GOOGLE_GENAI_USE_ENTERPRISE", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def make(source: str = AGENT, file: str = "agent.py") -> Path:
        folder = tmp_path / f"agent_folder_{next(_numbers)}"
        folder.mkdir()
        (folder / "__init__.py").touch()
        (folder / file).write_text(textwrap.dedent(source))
        return folder

    return make


def sentence_of(spec: str) -> str:
    """What the operator is told: one line, no stack trace."""
    with pytest.raises(AgentLoadError) as raised:
        load_agent(spec)
    message = str(raised.value)
    assert "\n" not in message
    return message


# Folders ----------------------------------------------------------------------


def test_folder_is_loaded_by_any_path_to_it(make_folder: MakeFolder) -> None:
    """Absolute, relative, with a slash at the end, from inside."""
    folder = make_folder()
    for spec in (str(folder), folder.name, f"{folder.name}/", f"./{folder.name}//"):
        loaded = load_agent(spec)
        assert loaded.name == folder.name
        assert loaded.app.root_agent is not None
        assert loaded.app.root_agent.name == "found"


def test_folder_is_loaded_from_inside(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The working folder may be the agent's own."""
    folder = make_folder()
    monkeypatch.chdir(folder)
    assert load_agent(".").name == folder.name


def test_folder_with_an_app_serves_the_app(make_folder: MakeFolder) -> None:
    """An app comes before root_agent and keeps its name and plugins."""
    source = AGENT + "from google.adk.apps.app import App\n"
    folder = make_folder(source + 'app = App(name="my_app", root_agent=root_agent)\n')
    assert load_agent(str(folder)).app.name == "my_app"


def test_folder_with_the_agent_in_its_package_is_loaded(make_folder: MakeFolder) -> None:
    """As ADK takes it: root_agent in __init__.py, without agent.py."""
    folder = make_folder(file="__init__.py")
    assert load_agent(str(folder)).name == folder.name


@pytest.mark.filterwarnings("ignore:LlmAgentConfig is deprecated")
def test_folder_with_a_yaml_agent_is_loaded(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ADK's loader reads root_agent.yaml, too."""
    monkeypatch.setenv("GOOGLE_API_KEY", "key")
    folder = make_folder(
        """
        name: yaml_agent
        model: gemini-3.1-flash-live-preview
        instruction: Be brief.
        """,
        file="root_agent.yaml",
    )
    root = load_agent(str(folder)).app.root_agent
    assert root is not None
    assert root.name == "yaml_agent"


def test_examples_are_loaded(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every example folder works as soon as there is a key, and says so where there is none."""
    folders = sorted(one for one in EXAMPLES.iterdir() if (one / "agent.py").is_file())
    assert folders
    for folder in folders:
        assert "GOOGLE_API_KEY" in sentence_of(str(folder))
    monkeypatch.setenv("GOOGLE_API_KEY", "key")
    for folder in folders:
        assert load_agent(str(folder)).name == folder.name
        assert (folder / ".env.example").is_file()


def test_weather_example_has_a_tool_that_works_without_network(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the model calls is plain code."""
    monkeypatch.setenv("GOOGLE_API_KEY", "key")
    root = load_agent(str(EXAMPLES / "weather_agent")).app.root_agent
    assert isinstance(root, LlmAgent)
    (get_weather,) = root.tools
    assert callable(get_weather)
    assert get_weather("Tokyo") == {"city": "Tokyo", "sky": "clear", "temperature_celsius": 21}
    assert "error" in get_weather("Atlantis")


# Keys ---------------------------------------------------------------------------


def test_key_is_taken_from_the_env_file_above(make_folder: MakeFolder) -> None:
    """As ADK does it: the nearest .env from the agent's folder upwards."""
    folder = make_folder(GEMINI)
    (folder.parent / ".env").write_text("GOOGLE_API_KEY=key\n")
    root = load_agent(str(folder)).app.root_agent
    assert isinstance(root, LlmAgent)
    assert isinstance(root.model, Gemini)


@pytest.mark.parametrize("env", ["", "GOOGLE_API_KEY=PASTE_YOUR_ACTUAL_API_KEY_HERE\n"])
def test_key_that_is_missing_is_named_with_the_place_for_it(
    make_folder: MakeFolder, env: str
) -> None:
    """A placeholder left in the .env file is no key."""
    folder = make_folder(GEMINI)
    (folder / ".env").write_text(env)
    message = sentence_of(str(folder))
    for word in ("gemini-3.1-flash-live-preview", "GOOGLE_API_KEY", ".env", "Vertex"):
        assert word in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GEMINI_API_KEY", "key"),
        ("GOOGLE_GENAI_USE_VERTEXAI", "TRUE"),
        ("GOOGLE_GENAI_USE_ENTERPRISE", "1"),
    ],
)
def test_key_may_be_any_that_the_client_takes(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The other name of the key, or Vertex AI."""
    monkeypatch.setenv(name, value)
    assert load_agent(str(make_folder(GEMINI))).name


def test_key_is_not_asked_for_by_a_model_with_a_client(make_folder: MakeFolder) -> None:
    """A model that was given its key in code needs none in the environment."""
    model = Gemini(model="gemini-3.1-flash-live-preview", client_kwargs={"api_key": "key"})
    assert LoadedAgent.from_object("x", LlmAgent(name="x", model=model)).name == "x"


# module:attribute -----------------------------------------------------------------


def test_attribute_of_a_module_is_loaded_from_the_working_folder(make_folder: MakeFolder) -> None:
    """The console script does not have it on the path by itself."""
    folder = make_folder()
    assert load_agent(f"{folder.name}.agent:root_agent").name == "found"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("no_such_package.agent:root_agent", "There is no module no_such_package.agent"),
        ("json:no_such", "The module json has no no_such."),
        ("json:dumps", "not an ADK agent or app"),
        (":root_agent", "not of the form package.module:attribute"),
        ("json:", "not of the form package.module:attribute"),
    ],
)
def test_attribute_that_is_no_agent_is_explained(
    make_folder: MakeFolder, spec: str, words: str
) -> None:
    """Which part of the name is wrong."""
    assert words in sentence_of(spec)


# What is wrong with a folder ---------------------------------------------------------


def test_folder_that_is_missing_is_named(make_folder: MakeFolder) -> None:
    """Nothing is imported."""
    assert sentence_of("no_such_folder/") == "There is no agent folder no_such_folder/."


def test_folder_without_an_agent_is_explained(make_folder: MakeFolder, tmp_path: Path) -> None:
    """An empty folder, and an agent.py without root_agent."""
    (tmp_path / "empty").mkdir()
    assert "agent.py" in sentence_of("empty")
    assert "neither root_agent nor app" in sentence_of(str(make_folder("x = 1")))
    assert "not an ADK agent" in sentence_of(str(make_folder("root_agent = 1")))


def test_file_instead_of_a_folder_is_explained(make_folder: MakeFolder) -> None:
    """The folder is to be named."""
    assert "not a folder" in sentence_of(str(make_folder() / "agent.py"))


def test_folder_that_adk_cannot_name_is_explained(make_folder: MakeFolder, tmp_path: Path) -> None:
    """ADK imports the folder by its name."""
    (tmp_path / "my-agent").mkdir()
    assert "letters, digits and underscores" in sentence_of("my-agent")


@pytest.mark.parametrize(
    ("source", "words", "line"),
    [
        ("import no_such_package_at_all", "ModuleNotFoundError: No module named", 1),
        ("x = 1\nraise KeyError('x')", "KeyError", 2),
        ("raise ValueError('too\\nmany')", "ValueError: too", 1),
        ("def f(:\n", "SyntaxError: invalid syntax", 1),
        ("x = 1\n\nint('x')", "ValueError: invalid literal", 3),
        ("import sys\nsys.exit('no settings')", "SystemExit: no settings", 2),
    ],
    ids=["missing package", "KeyError", "ValueError", "SyntaxError", "ValueError inside", "exit"],
)
def test_agent_that_fails_to_import_is_explained_with_its_place(
    make_folder: MakeFolder, source: str, words: str, line: int
) -> None:
    """The exception, its first line, and the innermost line of the agent's own code."""
    folder = make_folder(source)
    message = sentence_of(str(folder))
    assert words in message
    assert f"{folder / 'agent.py'}:{line}" in message
    assert "Fail to load" not in message


def test_model_that_adk_does_not_know_is_explained(make_folder: MakeFolder) -> None:
    """Its name is in the sentence."""
    source = GEMINI.replace("gemini-3.1-flash-live-preview", "no-such-model")
    assert "no-such-model" in sentence_of(str(make_folder(source)))


# Objects --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["local", "user", "9 lives", "", "ä"])
def test_object_gets_an_app_of_a_name_that_adk_takes(name: str) -> None:
    """Callers see the name as it was given."""
    loaded = LoadedAgent.from_object(name, LlmAgent(name="x", model=ScriptedLlm()))
    assert loaded.name == name
    assert isinstance(loaded.app, App)


# --------------------------------------------------------------------------
# The agent's run config
# --------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["agent.py", "__init__.py"])
def test_run_config_beside_the_agent_is_loaded_with_it(make_folder: MakeFolder, file: str) -> None:
    """A dict of fields in the folder's module; its values are of ADK's types."""
    more = 'run_config = {"response_modalities": ["text"], "max_llm_calls": 3}'
    loaded = load_agent(str(make_folder(f"{textwrap.dedent(AGENT)}\n{more}", file)))
    assert loaded.run_config == {"response_modalities": [types.Modality.TEXT], "max_llm_calls": 3}


def test_run_config_of_adk_says_what_was_set_and_no_default(make_folder: MakeFolder) -> None:
    """What the agent leaves to ADK is still ours and the operator's to say."""
    more = """
from google.adk.agents.run_config import RunConfig
run_config = RunConfig(output_audio_transcription=None, enable_affective_dialog=True)
"""
    folder = make_folder(textwrap.dedent(AGENT) + more)
    loaded = load_agent(f"{folder.name}.agent:root_agent")
    assert loaded.run_config == {
        "output_audio_transcription": None,
        "enable_affective_dialog": True,
    }


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("run_config = 3", "of type int, not an ADK RunConfig"),
        ('run_config = {"speech_config": {"voice": "Kore"}}', "speech_config.voice"),
    ],
)
def test_run_config_that_does_not_fit_is_said_at_start(
    make_folder: MakeFolder, more: str, words: str
) -> None:
    """With the field's name."""
    assert words in sentence_of(str(make_folder(f"{textwrap.dedent(AGENT)}\n{more}")))


def test_module_named_run_config_is_not_one(make_folder: MakeFolder) -> None:
    """A package may keep such a file for itself."""
    folder = make_folder(f"{textwrap.dedent(AGENT)}\nfrom . import run_config")
    (folder / "run_config.py").touch()
    assert load_agent(str(folder)).run_config == {}


@pytest.mark.parametrize("file", ["agent.py", "__init__.py"])
def test_agent_that_may_be_asked_again_says_so_beside_itself(
    make_folder: MakeFolder, file: str
) -> None:
    """``ask_again = True``; what is not said is no."""
    source = textwrap.dedent(AGENT)
    assert load_agent(str(make_folder(f"{source}\nask_again = True", file))).ask_again


def test_agent_that_says_nothing_is_not_asked_again(make_folder: MakeFolder) -> None:
    """By folder and by attribute."""
    folder = make_folder(textwrap.dedent(AGENT))
    assert not load_agent(str(folder)).ask_again
    assert not load_agent(f"{folder.name}.agent:root_agent").ask_again
