"""Two lock files hold the same crates: the workspace's and the fuzz targets', which are built apart."""

import tomllib

from tests.support.processes import REPOSITORY

CORE = REPOSITORY / "cerebellum_core"


def test_the_fuzz_targets_lock_knows_what_our_crates_depend_on_now():
    workspace, fuzz = (
        {
            package["name"]: {name.split()[0] for name in package.get("dependencies", ())}
            for package in tomllib.loads(lock.read_text())["package"]
            if "source" not in package
        }
        for lock in (CORE / "Cargo.lock", CORE / "fuzz" / "libfuzzer" / "Cargo.lock")
    )
    shared = workspace.keys() & fuzz.keys()
    assert {"cerebellum", "protocol"} <= shared
    for name in shared:
        # Crates that only our tests use are in the workspace's lock alone.
        missing = fuzz[name] - workspace[name]
        assert not missing, f"{name}: {missing} is no dependency any more"
        manifest = tomllib.loads((CORE / name / "Cargo.toml").read_text())
        wanted = set(manifest["dependencies"])
        forgotten = wanted - fuzz[name]
        assert not forgotten, f"{name}: run cargo update --workspace beside the fuzz targets' lock"
