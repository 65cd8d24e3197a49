"""A profile is whole, typed and consistent, or refused in one line that names the key."""

from dataclasses import replace
from pathlib import Path

import pytest

from config.loading import PROFILES, choose_profile, load_settings
from config.settings import Paths, config_sha
from config.sources import FileSource
from market.errors import ConfigError
from modeling.parameters import GruParameters


@pytest.fixture(autouse=True)
def _no_choice_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("APP_ENV", "TICKLOOP_CONFIG", "TICKLOOP_VAR"):
        monkeypatch.delenv(name, raising=False)


def _file(folder: Path, text: str) -> Path:
    path = folder / "own.yaml"
    path.write_text(text)
    return path


def _refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        load_settings(path=path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_committed_profile_loads(profile: str) -> None:
    assert load_settings(profile).data.symbols == ("binance-coinm-btcusd_perp",)


def test_the_environment_picks_the_profile_and_a_file_goes_before_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("APP_ENV", "prod")
    assert load_settings() == load_settings("prod")
    monkeypatch.setenv("TICKLOOP_CONFIG", str(_file(tmp_path, "extends: dev\nfeatures: {row_interval_ms: 50}\n")))
    assert load_settings().features.row_interval_ms == 50
    assert load_settings("dev").features.row_interval_ms == 20


def test_an_unknown_profile_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="APP_ENV='staging' is not one of dev, prod"):
        load_settings("staging")


def test_another_symbol_is_three_lines(tmp_path: Path) -> None:
    settings = load_settings(path=_file(tmp_path, "extends: dev\ndata:\n  symbols: [binance-usdm-btcusdt]\n"))
    assert settings.data.symbols == ("binance-usdm-btcusdt",)
    assert settings.instrument("binance-usdm-btcusdt").lot_size == 0.001
    assert settings.labels == load_settings("dev").labels


def test_a_leader_is_of_its_follower_alone_and_stands_before_it(tmp_path: Path) -> None:
    leader, follower = "binance-usdm-btcusdt", "binance-coinm-btcusd_perp"
    text = "extends: dev\ndata:\n  symbols: [{}, {}]\n  leaders: {{{}: {}}}\n"
    settings = load_settings(path=_file(tmp_path, text.format(leader, follower, follower, leader)))
    assert [settings.features_of(symbol).leader for symbol in (leader, follower)] == ["", leader]
    refused = _refusal(_file(tmp_path, text.format(follower, leader, follower, leader)))
    assert f"leaders.{follower}={leader} must stand before it in symbols=" in refused


def test_one_leader_of_all_is_refused(tmp_path: Path) -> None:
    refused = _refusal(_file(tmp_path, "extends: dev\nfeatures: {leader: binance-coinm-btcusd_perp}\n"))
    assert "features.leader='binance-coinm-btcusd_perp' would lead every symbol" in refused
    assert "data.leaders" in refused


def test_a_regime_that_is_left_above_where_it_is_entered_is_refused(tmp_path: Path) -> None:
    refused = _refusal(_file(tmp_path, "extends: dev\nregimes: {trend_leave: 0.6}\n"))
    assert "trend_leave=0.6; allowed: 0 to 0.5" in refused


def test_a_network_that_reads_more_rows_than_a_session_remembers_is_refused(tmp_path: Path) -> None:
    for text, kind in (
        ("network: {depth: 7}", "cnn of depth=7 reads 12701 rows"),
        ("search: {dilation_growths: [1, 4], widths: [64]}\n  network: {depth: 5}", "cnn of depth=5 reads 34101 rows"),
        (
            "ensemble:\n    networks:\n    - "
            "{kind: transformer, width: 64, depth: 5, heads: 4, band_rows: 1024, expansion: 2, dropout: 0.1}",
            "transformer of depth=5 reads 5116 rows",
        ),
    ):
        refused = _refusal(_file(tmp_path, f"extends: dev\nmodels:\n  {text}\n"))
        assert f"models: a {kind}, a session remembers 4096" in refused


def test_a_network_of_another_kind_takes_the_place_of_the_profile_s(tmp_path: Path) -> None:
    gru = "{kind: gru, width: 64, depth: 1, settle_rows: 600, dropout: 0.1}"
    path = _file(tmp_path, f"extends: dev\nmodels: {{network: {gru}}}\n")
    assert load_settings(path=path).models.network == GruParameters("gru", 64, 1, 600, 0.1)
    (tmp_path / "wider.yaml").write_text("extends: own.yaml\nmodels: {network: {kind: gru, width: 128}}\n")
    assert load_settings(path=tmp_path / "wider.yaml").models.network == GruParameters("gru", 128, 1, 600, 0.1)


def test_a_folder_of_daily_files_is_a_source(tmp_path: Path) -> None:
    path = _file(tmp_path, "extends: dev\ndata: {sources: {binance-coinm-btcusd_perp: captures/btc}}\n")
    assert load_settings(path=path).data.sources["binance-coinm-btcusd_perp"] == "captures/btc"


def test_files_of_another_format_are_a_source(tmp_path: Path) -> None:
    for path, expected in (("tardis/btc", "tardis/btc"), ("[a.csv.gz, b.csv.gz]", ("a.csv.gz", "b.csv.gz"))):
        text = f"extends: dev\ndata: {{sources: {{binance-usdm-btcusdt: {{format: tardis, path: {path}}}}}}}\n"
        data = load_settings(path=_file(tmp_path, text)).data
        assert data.sources["binance-usdm-btcusdt"] == FileSource("tardis", expected)
        assert data.described("binance-usdm-btcusdt").startswith("tardis files ")


def test_a_misspelt_key_is_answered_with_the_nearest(tmp_path: Path) -> None:
    line = _refusal(_file(tmp_path, "extends: dev\nfeatures: {row_intervall_ms: 20}\n"))
    assert "unknown key features.row_intervall_ms; did you mean row_interval_ms? allowed: row_interval_ms," in line


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    assert "missing: data, lake, instruments, clock" in _refusal(_file(tmp_path, "features: {}\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models: {network: {width: 32}}", "models.network: width=32"),
        ("models: {training: {learning_rate: 0.01}}", "models.training: learning_rate=0.01"),
        ("models: {network: {dropout: 0.5}}", "models.network: dropout=0.5"),
        ("models: {training: {focal_gamma: 3}}", "models.training: focal_gamma=3.0"),
        ("models: {training: {patience: 50}}", "models.training: patience=50"),
        ("live: {hot: {redis_url: 'redis://:horse@host'}}", "live.hot: redis_url holds a user, a password or a query"),
        ("live: {hot: {redis_url: 'redis://host?password=horse'}}", "live.hot: redis_url holds a user"),
        ("models: {training: {learning_rate: 1e-4}}", "learning_rate must be a number, not '1e-4'; a power of ten is"),
        ("models: {training: {epochs: 1.5}}", "models.training.epochs must be a whole number, not 1.5"),
        ("models: {training: {epochs: true}}", "models.training.epochs must be a whole number, not True"),
        ("labels: {anchor: late}", "labels.anchor='late' is not one of executable, gross"),
        ("labels: {horizons_ms: 250}", "labels.horizons_ms must be a list, not 250"),
        ("labels: {order_latency_ms: 5}", "labels.order_latency_ms=5.0 must equal venue.order_latency_ms=10.0"),
        ("features: ", "features must hold keys and values, not nothing"),
        ("data: {symbols: [binance-coinm-dogeusd]}", "sources holds nothing"),
        ("data: {symbols: [doge], sources: {doge: folder}}", "unknown symbol 'doge'; instruments holds binance-coinm-"),
        ("data: {sources: {binance-usdm-btcusdt: 7}}", "data.sources.binance-usdm-btcusdt must be"),
        ("data: {sources: {binance-spot-btcusdt: {format: x, path: ''}}}", "path is empty; a source of files names"),
        ("data: {sources: {binance-spot-btcusdt: {format: x}}}", "missing: data.sources.binance-spot-btcusdt.path"),
        ("data: {symbols: []}", "symbols is empty"),
        ("models: {horizons_ms: [250, 777]}", "models.horizons_ms=(250, 777) must hold at least one horizon"),
        ("models: {horizons_ms: [1000, 250]}", "models.horizons_ms=(1000, 250) must hold at least one horizon"),
        ("models: {horizons_ms: []}", "models.horizons_ms=() must hold at least one horizon"),
        ("trading: {horizon_ms: 777}", "trading.horizon_ms=777 is not in models.horizons_ms"),
        ("trading: {budget_bp: 7}", "trading.budget_bp=7.0 is not in labels.fee_budgets_bp"),
        ("models: {walk_forward: {purge_s: 4}}", "purge_s=4.0 is shorter than the longest horizon"),
        ("instruments: {x: {venue: v}}", "missing: instruments.x.venue_symbol"),
        ("paths: {var: elsewhere}", "unknown key paths; TICKLOOP_VAR says"),
        ("clock: {window_s: 1}\nclock: {window_s: 2}", "key 'clock' stands twice"),
        ("features: [", "own.yaml: while parsing"),
        ("registry: {url: 'http://me:horse@host'}", "registry: url holds a user or a password; MLflow reads MLFLOW_"),
        ("registry: {url: host}", "registry: url='host' is no address of the kind http://HOST:PORT"),
        ("orchestration: {dagster_port: 80}", "dagster_port=80 must lie in 1024 to 65535"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_it(tmp_path: Path, text: str, said: str) -> None:
    assert said in _refusal(_file(tmp_path, f"extends: dev\n{text}\n"))


@pytest.mark.parametrize(
    "text",
    [
        "live:\n  api_secret: 'planted",
        "data: {symbols: [{password: planted}]}",
        "live: {ws_url: 'ws://me:planted@host'}",
        "live: {rest_url: 'http://me:planted@'}",
        "live: {orders: {rest_url: 'https://me:planted@host'}}",
        "live: {hot: {redis_url: 'redis://:planted@'}}",
        "connectors: {venues: {v: {rest_url: 'https://h', sockets: [{ws_url: 'wss://me:planted@h', topics: []}]}}}",
        "orchestration: {dask_address: 'tls://me:planted@host:8786'}",
        "registry: {url: 'http://me:planted@'}",
        "lake: {url: 's3://key:planted@bucket/folder'}",
        "warehouse: {url: 'http://me:planted@'}",
        "models: {search: {storage: 'postgresql://me:planted@host/name'}}",
    ],
)
def test_a_secret_in_a_file_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    assert "planted" not in _refusal(_file(tmp_path, f"extends: dev\n{text}\n"))


def test_a_file_that_is_no_yaml_is_refused_with_the_place(tmp_path: Path) -> None:
    assert _refusal(_file(tmp_path, "extends: dev\nlive:\n  symbol: 'x\n")).endswith(
        "while scanning a quoted scalar, found unexpected end of stream, line 4, column 1"
    )


def test_an_account_in_the_url_of_a_lake_is_no_secret(tmp_path: Path) -> None:
    url = "abfs://container@account.dfs.core.windows.net/folder"
    assert load_settings(path=_file(tmp_path, f"extends: dev\nlake: {{url: '{url}'}}\n")).lake.url == url


def test_a_file_that_is_missing_or_extends_itself_is_refused(tmp_path: Path) -> None:
    assert "No such file" in _refusal(tmp_path / "none.yaml")
    assert "extends itself" in _refusal(_file(tmp_path, "extends: own.yaml\n"))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes(b"\x7fELF\xd0\x00")
    assert "own.yaml is no text" in _refusal(tmp_path / "own.yaml")


def test_files_may_extend_files(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("extends: dev\nlabels: {margin_bp: 0.5}\n")
    settings = load_settings(path=_file(tmp_path, "extends: base.yaml\nlabels: {exit: mid}\n"))
    assert (settings.labels.margin_bp, settings.labels.exit) == (0.5, "mid")


def test_the_sha_follows_what_is_computed_and_not_where_it_lies() -> None:
    settings = load_settings("dev")
    elsewhere = replace(settings, paths=Paths(Path("elsewhere")))
    ports = replace(settings, orchestration=replace(settings.orchestration, dagster_port=4_000))
    server = replace(settings, registry=replace(settings.registry, url="http://mlflow:5000"))
    other = replace(settings, labels=replace(settings.labels, margin_bp=1.0))
    assert config_sha(settings) == config_sha(elsewhere) == config_sha(ports) == config_sha(server) != config_sha(other)


def test_everything_is_written_below_the_folder_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TICKLOOP_VAR", str(tmp_path))
    paths = load_settings("dev").paths
    folders = [getattr(paths, name) for name, kind in vars(Paths).items() if isinstance(kind, property)]
    assert len(folders) > 5
    assert all(folder.is_relative_to(tmp_path) for folder in folders)


def test_a_profile_by_name_counts_as_the_environment_s_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", "dev")
    choose_profile("prod")
    assert load_settings() == load_settings("prod") != load_settings("dev")


@pytest.mark.parametrize(("base", "asked"), [("dev", "dev"), ("prod", "prod"), ("between.yaml", "prod")])
def test_a_profile_by_name_stands_beside_a_file_that_is_laid_over_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, base: str, asked: str
) -> None:
    monkeypatch.setenv("APP_ENV", "")
    (tmp_path / "between.yaml").write_text("extends: prod\n")
    monkeypatch.setenv("TICKLOOP_CONFIG", str(_file(tmp_path, f"extends: {base}\nlive: {{api_port: 7}}\n")))
    choose_profile(asked)
    assert load_settings().live.api_port == 7
    contrary = "dev" if asked == "prod" else "prod"
    with pytest.raises(ConfigError, match=f"laid over {asked}, and the profile that was asked for is {contrary}"):
        choose_profile(contrary)


@pytest.mark.parametrize(
    ("text", "said"), [("data: {}\n", "over no profile"), ("extends: own.yaml\n", "extends itself")]
)
def test_a_profile_by_name_refuses_a_file_that_is_laid_over_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, said: str
) -> None:
    monkeypatch.setenv("TICKLOOP_CONFIG", str(_file(tmp_path, text)))
    with pytest.raises(ConfigError, match=said):
        choose_profile("dev")
