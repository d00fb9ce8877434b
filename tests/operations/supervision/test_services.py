"""Every service listens on the loopback interface, keeps its state in the workspace, and stays small."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from crucible.operations.errors import ServiceError
from crucible.operations.market_configuration import MarketConfiguration
from crucible.operations.supervision import services
from crucible.operations.supervision.services import Ports
from crucible.operations.workspace import Workspace
from crucible.settings import ExecutionSettings, ForgeSettings, Settings

PORTS = Ports(prefect=4200, mlflow=5000, dashboard=8400, paper_venue=8300)
CONFIGURATION = MarketConfiguration("simulated", ("BTCUSDT", "ETHUSDT"), 7, 1000, 60_000, 0)
READY = {"rest": "http://127.0.0.1:8300", "ws": "ws://127.0.0.1:8300"}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace.at(tmp_path / "home")
    made.create()
    return made


def all_specs(settings: Settings, workspace: Workspace) -> list[services.ServiceSpec]:
    run = workspace.new_run()
    return [
        services.prefect(PORTS),
        services.worker(run),
        services.selection(),
        services.mlflow(workspace, PORTS),
        services.paper_venue(settings, workspace, PORTS, CONFIGURATION),
        services.cerebellum(settings, workspace, run, CONFIGURATION, READY),
        services.dashboard(PORTS),
    ]


def test_the_exchange_keys_go_to_the_executor_alone_and_prefects_password_to_who_asks_prefect(
    workspace: Workspace,
):
    secrets = {
        spec.name: spec.secrets for spec in all_specs(Settings(home=workspace.path), workspace)
    }
    assert secrets == {
        "prefect": services.PREFECT_SERVER,
        "worker": services.PREFECT_CLIENT,
        "selection": services.PREFECT_CLIENT,
        "mlflow": (),
        "paper_venue": (),
        "cerebellum": services.EXCHANGE_KEYS,
        "dashboard": (),
    }


def test_nothing_listens_beyond_this_machine(workspace: Workspace):
    for spec in all_specs(Settings(home=workspace.path), workspace):
        words = " ".join(spec.command)
        assert "0.0.0.0" not in words  # noqa: S104
        assert spec.page == "" or spec.page.startswith("http://127.0.0.1:")
        for flag in ("--host", "--rest", "--metrics"):
            if flag in spec.command:
                value = spec.command[spec.command.index(flag) + 1]
                assert value.removeprefix("http://").startswith("127.0.0.1")


def test_only_what_touches_orders_has_the_usual_priority(workspace: Workspace):
    specs = all_specs(Settings(home=workspace.path), workspace)
    assert {spec.name for spec in specs if spec.nice == 0} == {"cerebellum", "paper_venue"}


def test_all_state_lives_under_the_home(workspace: Workspace):
    settings = Settings(home=workspace.path)
    found = services.environment(
        settings, workspace, workspace.new_run(), PORTS, CONFIGURATION, {"PATH": "/bin"}
    )
    assert found["CRUCIBLE_HOME"] == str(workspace.path)
    assert found["PREFECT_HOME"].startswith(str(workspace.path))
    mlflow = services.mlflow(workspace, PORTS).command
    assert str(workspace.mlflow / "mlflow.db") in mlflow[mlflow.index("--backend-store-uri") + 1]
    assert mlflow[mlflow.index("--artifacts-destination") + 1].startswith(workspace.path.as_uri())
    assert str(workspace.prefect / "prefect.db") in found["PREFECT_API_DATABASE_CONNECTION_URL"]


@pytest.mark.parametrize(
    ("configuration", "flags"),
    [
        (replace(CONFIGURATION, rules="learnable"), ["--rules", "learnable"]),
        (CONFIGURATION, ["--rules", "none"]),
        (replace(CONFIGURATION, market="replay", candles="/c"), ["--candles", "/c"]),
    ],
)
def test_only_the_simulated_market_is_told_its_rules(
    workspace: Workspace, configuration: MarketConfiguration, flags: list[str]
):
    settings = Settings(home=workspace.path)
    command = services.paper_venue(settings, workspace, PORTS, configuration).command
    assert list(command[-2:]) == flags


def test_a_flow_sees_the_market_that_was_asked_for_on_the_command_line(
    workspace: Workspace, monkeypatch
):
    asked = Settings(home=workspace.path, market={"seed": 99, "speed": 240, "symbols": ["BTCUSDT"]})
    configuration = MarketConfiguration("simulated", ("BTCUSDT",), 99, 1000, 60_000, 0)
    for name, value in services.environment(
        asked, workspace, workspace.new_run(), PORTS, configuration, {}
    ).items():
        monkeypatch.setenv(name, value)
    seen = Settings()
    assert seen.market.seed == 99
    assert seen.market.speed == 240
    assert seen.market.symbols == ("BTCUSDT",)
    assert seen.ports.mlflow == 5000
    assert seen.home == workspace.path


def test_another_systems_servers_are_not_inherited(workspace: Workspace):
    base = {
        "PREFECT_API_KEY": "secret",
        "BYBIT_API_KEY": "real money",
        "PREFECT_API_URL": "https://elsewhere",
        "MLFLOW_TRACKING_TOKEN": "secret",
        "CRUCIBLE_FORGE__POPULATION": "10",
        "CRUCIBLE_ALERTS__URLS": '["json://secret"]',
    }
    found = services.environment(
        Settings(home=workspace.path), workspace, workspace.new_run(), PORTS, CONFIGURATION, base
    )
    assert found["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"
    assert "PREFECT_API_KEY" not in found
    assert "BYBIT_API_KEY" not in found
    assert "MLFLOW_TRACKING_TOKEN" not in found
    assert "CRUCIBLE_ALERTS__URLS" not in found
    assert found["CRUCIBLE_FORGE__POPULATION"] == "10"


def test_real_venues_need_keys_of_their_own(workspace: Workspace, tmp_path: Path):
    run = workspace.new_run()
    strict = ForgeSettings(policy="strict")
    without = Settings(
        home=workspace.path, execution=ExecutionSettings(venue="testnet"), forge=strict
    )
    with pytest.raises(ServiceError, match="CRUCIBLE_EXECUTION__KEYS_FILE"):
        services.cerebellum(without, workspace, run, CONFIGURATION, None)
    keys = tmp_path / "testnet.json"
    execution = ExecutionSettings(venue="testnet", keys_file=keys)
    unlimited = Settings(home=workspace.path, execution=execution, forge=strict)
    with pytest.raises(ServiceError, match="CRUCIBLE_EXECUTION__LIMITS_FILE"):
        services.cerebellum(unlimited, workspace, run, CONFIGURATION, None)
    limits = tmp_path / "limits.toml"
    execution = ExecutionSettings(venue="testnet", keys_file=keys, limits_file=limits)
    testnet = Settings(home=workspace.path, execution=execution, forge=strict)
    command = services.cerebellum(testnet, workspace, run, CONFIGURATION, None).command
    assert command[command.index("--keys") + 1] == str(keys)
    assert command[command.index("--venue") + 1] == "testnet"
    assert command[command.index("--limits") + 1] == str(limits)
    assert "--rest" not in command


def test_a_real_venue_is_refused_under_the_exploring_policy(workspace: Workspace):
    with pytest.raises(ValidationError, match=r"needs forge\.policy = strict"):
        Settings(home=workspace.path, execution=ExecutionSettings(venue="testnet"))


def test_binaries_come_from_cargos_target_folder(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("CARGO_TARGET_DIR", str(tmp_path))
    with pytest.raises(ServiceError, match="not built"):
        services.binary("cerebellum")
    (tmp_path / "release").mkdir()
    (tmp_path / "release/cerebellum").touch()
    assert services.binary("cerebellum") == tmp_path / "release/cerebellum"


def test_prefect_knows_its_own_pages_and_a_password_that_no_command_line_shows(
    workspace: Workspace,
):
    settings = Settings(home=workspace.path)
    found = services.environment(
        settings, workspace, workspace.new_run(), PORTS, CONFIGURATION, {"PATH": "/bin"}
    )
    password = workspace.password()
    assert found["PREFECT_SERVER_API_AUTH_STRING"] == found["PREFECT_API_AUTH_STRING"] == password
    pages = "http://127.0.0.1:4200,http://localhost:4200"
    assert found["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == pages
    for spec in all_specs(settings, workspace):
        assert password not in " ".join(spec.command)
    assert password not in " ".join(services.deploy_command())


def test_nothing_that_is_started_reports_to_anybody(workspace: Workspace):
    settings = Settings(home=workspace.path)
    base = {"DO_NOT_TRACK": "0", "MLFLOW_DISABLE_TELEMETRY": "false"}
    base |= {"PREFECT_SERVER_ANALYTICS_ENABLED": "true", "PREFECT_CLOUD_API_URL": "https://away"}
    found = services.environment(
        settings, workspace, workspace.new_run(), PORTS, CONFIGURATION, base
    )
    assert found["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert found["PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT"] == "false"
    assert found["DO_NOT_TRACK"] == "1"
    assert found["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert "PREFECT_CLOUD_API_URL" not in found
