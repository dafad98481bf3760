from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mesh import config
from mesh.config import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    target: str
    port: int = field(default=50051, metadata={"env": "PORT", "ge": 0, "le": 65535})
    threshold: float = field(default=0.5, metadata={"ge": 0, "le": 1})
    debug: bool = False
    engines: tuple[str, ...] = field(default=("a", "b"), metadata={"among": ("a", "b", "c")})
    sizes: tuple[int, ...] = ()
    models_dir: Path = Path("models")
    max_streams: int | None = field(default=None, metadata={"ge": 1})
    api_key: str | None = field(default=None, metadata={"secret": True})
    pin: int = field(default=0, metadata={"secret": True})
    log_level: str = "INFO"


def load(env=(), **more):
    return config.load(Config, {"STT_TARGET": "x:1", **dict(env)}, prefix="stt", **more)


def mistakes(env, **more):
    with pytest.raises(ConfigError) as raised:
        load(env, **more)
    return raised.value.mistakes


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "voicemesh.toml"
        path.write_text(content)
        return path

    return write


def test_what_is_not_set_has_its_default():
    assert load() == Config(target="x:1")


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("STT_TARGET", "dns:///stt:50051", "target", "dns:///stt:50051"),
        ("PORT", "0", "port", 0),
        ("STT_THRESHOLD", "0.25", "threshold", 0.25),
        ("STT_THRESHOLD", "1", "threshold", 1.0),
        ("STT_DEBUG", "Yes", "debug", True),
        ("STT_DEBUG", "0", "debug", False),
        ("STT_ENGINES", "c, a,", "engines", ("c", "a")),
        ("STT_ENGINES", "", "engines", ()),
        ("STT_SIZES", "1,2", "sizes", (1, 2)),
        ("STT_MODELS_DIR", "weights/here", "models_dir", Path("weights/here")),
        ("STT_MAX_STREAMS", "7", "max_streams", 7),
        ("STT_MAX_STREAMS", "", "max_streams", None),
        ("STT_API_KEY", "", "api_key", None),
        ("STT_API_KEY", "sk-1", "api_key", "sk-1"),
    ],
)
def test_text_becomes_what_the_field_wants(variable, text, name, value):
    found = getattr(load({variable: text}), name)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("PORT", "http", "PORT='http': not an integer"),
        ("PORT", "1.5", "PORT='1.5': not an integer"),
        ("PORT", "", "PORT='': not an integer"),
        ("PORT", "-1", "PORT='-1': must be 0 or more"),
        ("PORT", "65536", "PORT='65536': must be 65535 or less"),
        ("STT_THRESHOLD", "half", "STT_THRESHOLD='half': not a number"),
        ("STT_THRESHOLD", "nan", "STT_THRESHOLD='nan': not a number"),
        ("STT_THRESHOLD", "inf", "STT_THRESHOLD='inf': not a number"),
        ("STT_DEBUG", "maybe", "STT_DEBUG='maybe': not a boolean (true or false)"),
        ("STT_ENGINES", "a,d", "STT_ENGINES='a,d': must be among a, b, c"),
        ("STT_SIZES", "1,x", "STT_SIZES='1,x': not an integer"),
        ("STT_MAX_STREAMS", "0", "STT_MAX_STREAMS='0': must be 1 or more"),
    ],
)
def test_a_wrong_value_is_told_with_its_variable(variable, text, said):
    assert mistakes({variable: text}) == [said]


def test_all_mistakes_are_told_at_once():
    env = {"PORT": "http", "STT_THRESHOLD": "2", "STT_DEBUG": "maybe"}
    with pytest.raises(ConfigError) as raised:
        config.load(Config, env, prefix="stt")
    names = [mistake.replace("=", " ").split()[0] for mistake in raised.value.mistakes]
    assert names == ["STT_TARGET", "PORT", "STT_THRESHOLD", "STT_DEBUG"]
    assert "STT_TARGET is not set; PORT=" in str(raised.value)


def test_a_secret_is_never_shown():
    [said] = mistakes({"STT_PIN": "12three4"})
    assert said == "STT_PIN: not an integer"


def test_the_environment_wins_over_the_file(file):
    path = file('port = 1\n[stt]\nthreshold = 0.1\nengines = ["c"]\nsizes = [3, 4]\n[tts]\nx = 1\n')
    found = load({"STT_THRESHOLD": "0.9"}, file=path)
    assert (found.port, found.threshold, found.engines, found.sizes) == (1, 0.9, ("c",), (3, 4))


def test_the_environment_names_the_file(file):
    path = file("[stt]\ndebug = true\n")
    assert load({"VOICEMESH_CONFIG": str(path)}).debug
    assert not load({"VOICEMESH_CONFIG": ""}).debug


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("port = true", "PORT=True: not an integer"),
        ("port = 1.5", "PORT=1.5: not an integer"),
        ("[stt]\nmodels_dir = ['a']", "STT_MODELS_DIR=['a']: not a text"),
        ("[stt]\nthreshold = nan", "STT_THRESHOLD=nan: not a number"),
        ("[stt]\ndebug = 'maybe'", "STT_DEBUG='maybe': not a boolean (true or false)"),
    ],
)
def test_a_wrong_value_in_the_file_is_told_with_its_variable(file, content, said):
    assert mistakes({}, file=file(content)) == [said]


def test_a_setting_in_the_file_that_does_not_exist_is_told_to_the_tier_itself(file):
    path = file("[stt]\ntreshold = 0.1\nport = 1\n[tts]\nother = 1\n")
    assert mistakes({}, file=path, strict=True) == [
        "STT_PORT is no setting",
        "STT_TRESHOLD is no setting",
    ]
    assert load(file=path).threshold == 0.5, "those who read only a part do not mind"


@pytest.mark.parametrize("content", ["[stt", "stt = 1", "[stt]\nx = '\udcff'"])
def test_a_file_that_cannot_be_read_is_a_mistake(tmp_path, content):
    path = tmp_path / "voicemesh.toml"
    path.write_bytes(content.encode(errors="surrogateescape"))
    [said] = mistakes({}, file=path)
    assert said.startswith("VOICEMESH_CONFIG: ")


def test_a_file_that_is_missing_is_a_mistake(tmp_path):
    [said] = mistakes({"VOICEMESH_CONFIG": str(tmp_path / "gone.toml")})
    assert "gone.toml" in said


def test_wrong_settings_end_the_process_before_it_begins(capsys, monkeypatch):
    monkeypatch.setenv("STT_TARGET", "x:1")
    monkeypatch.setenv("PORT", "http")
    monkeypatch.setenv("STT_DEBUG", "maybe")

    async def run(_):
        pytest.fail("it must not run")

    with pytest.raises(SystemExit) as ended:
        config.main(Config, "stt", run)
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("=")[0] for line in lines] == ["PORT", "STT_DEBUG"]


def test_right_settings_are_what_the_service_gets(monkeypatch, own_logging):
    monkeypatch.setenv("STT_TARGET", "y:2")
    got = []

    async def run(settings):
        got.append(settings)

    config.main(Config, "stt", run)
    assert got == [Config(target="y:2")]
