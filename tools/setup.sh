#!/usr/bin/env bash
# Sets up a clone: .venv with exactly the locked packages, the package itself, the Rust binaries.
# Every step is stamped with what it was made from, so a second run takes a moment and an
# interrupted one goes on where it stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
stamps=.make
mkdir -p "$stamps"

missing() {
  echo "set-up: $1 is missing: $2" >&2
  exit 1
}

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.11 python3 python; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

python=$(find_python) || missing "Python 3.11" \
  "install it (Debian 12: apt install python3.11 python3.11-venv; elsewhere: pyenv install 3.11) or name it: make PYTHON=/path/to/python3.11"
command -v cargo >/dev/null || missing "cargo" "install Rust from https://rustup.rs"
command -v cc >/dev/null || missing "a C/C++ compiler (cc)" "Debian: apt install build-essential; macOS: xcode-select --install"
command -v c++ >/dev/null || missing "a C++ compiler (c++)" "Debian: apt install build-essential; macOS: xcode-select --install"
command -v cmake >/dev/null || missing "cmake" "Debian: apt install cmake; macOS: brew install cmake"

# uv of the locked version, from the path when it is that one, else in an environment of its own.
read -r pinned _ < tools/uv.lock
pinned=${pinned#uv==}
is_pinned() {
  local name version rest
  read -r name version rest < <("$1" --version 2>/dev/null) && [ "$name $version" = "uv $pinned" ]
}
uv=uv
if ! is_pinned uv; then
  uv=$stamps/uv/bin/uv
  if ! is_pinned "$uv"; then
    echo "set-up: installing uv $pinned"
    rm -rf "$stamps/uv"
    "$python" -m venv "$stamps/uv" || missing "Python's venv module" "Debian: apt install python3.11-venv"
    "$stamps/uv/bin/python" -m pip install --quiet --require-hashes --only-binary :all: -r tools/uv.lock
  fi
fi

# fresh STAMP FINGERPRINT: true when the step was done from this very input.
fresh() { [ -f "$stamps/$1" ] && [ "$(cat "$stamps/$1")" = "$2" ]; }

packages=$(cat requirements.lock <("$python" -c 'import sys; print(sys.version)') | cksum)
if ! fresh packages "$packages" || ! [ -x .venv/bin/python ]; then
  # Only a sync that was cut off leaves this mark: a package may then be half on disk, and is laid
  # down again from the cache.
  again=()
  if [ -e "$stamps/packages.begun" ]; then again=(--reinstall); fi
  [ -x .venv/bin/python ] && .venv/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
    || "$uv" venv --quiet --clear --python "$python" .venv
  touch "$stamps/packages.begun"
  rm -f "$stamps/package"
  echo "set-up: installing the locked packages into .venv"
  "$uv" pip sync --quiet --require-hashes --python .venv/bin/python ${again[@]+"${again[@]}"} requirements.lock
  echo "$packages" > "$stamps/packages"
  rm -f "$stamps/packages.begun"
fi

package=$(cksum < pyproject.toml)
if ! fresh package "$package" || ! [ -x .venv/bin/crucible ]; then
  # With the locked setuptools: a build of its own would fetch whichever is newest.
  "$uv" pip install --quiet --no-deps --no-build-isolation --python .venv/bin/python -e .
  echo "$package" > "$stamps/package"
fi

# Without bytecode every process that starts compiles thousands of files again, wherever Python is told
# not to write it (PYTHONDONTWRITEBYTECODE, a read-only folder). One file of torch is for a later Python.
if ! fresh bytecode "$packages"; then
  echo "set-up: compiling the packages, once"
  .venv/bin/python -m compileall -q -j 0 -x '/py312_intrinsics' .venv/lib \
    || echo "set-up: what could not be compiled is compiled again by every process" >&2
  echo "$packages" > "$stamps/bytecode"
fi
.venv/bin/python -m compileall -qq crucible flows tests benchmarks

# cargo knows by itself what is up to date.
if ! [ -x "${CARGO_TARGET_DIR:-cerebellum_core/target}/release/cerebellum" ]; then
  echo "set-up: building the Rust binaries (some minutes the first time)"
fi
cargo build --quiet --release --locked --workspace --manifest-path cerebellum_core/Cargo.toml
