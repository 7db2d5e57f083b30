# What the scripts share: what a machine needs, and how it gets it. Sourced, never run.
# Everything here says what it does, waits for no input, and has a time limit.

say() { printf '%s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }
# Whatever an interrupted command makes of it.
trap 'exit 130' INT
# bounded SECONDS COMMAND… ends it after that time. An interrupt at the terminal reaches it: by itself, timeout(1) takes what it
# runs out of the terminal's group, and this shell would wait for it.
bounded() { timeout --foreground -k 10 "$@"; }

# Node is the one thing that must be there.
need_node() {
  command -v node >/dev/null || fail "node is missing; install Node 20.19 or newer (with npm), then run this again"
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    fail "Node $(node --version) is too old; install Node 20.19 or newer, then run this again"
  command -v npm >/dev/null || fail "npm is missing; install it, then run this again"
}

# need_commands COMMAND:PACKAGE… installs the packages of the commands (or files, by absolute path) that are missing.
need_commands() {
  local pair missing=() as_root=()
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || [[ $pair == /* && -e ${pair%%:*} ]] || [ -x "/usr/sbin/${pair%%:*}" ] || missing+=("${pair#*:}")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      as_root=(sudo -n)
    else
      fail "missing: ${missing[*]}; ask an administrator for: apt-get install ${missing[*]}"
    fi
  fi
  command -v apt-get >/dev/null || fail "missing: ${missing[*]}; install them with this system's package manager, then run this again"
  say "installing packages: ${missing[*]}"
  local log
  log=$(mktemp)
  if ! apt_install "$log" "${missing[@]}"; then
    tail -n 20 "$log" >&2
    fail "apt-get could not install: ${missing[*]}; install them by hand, then run this again"
  fi
  rm -f "$log"
}

# The registry that the tests start themselves; the service that comes with its package does not stay on.
need_registry() {
  local as_root=()
  command -v docker-registry >/dev/null && return 0
  need_commands docker-registry:docker-registry
  [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
  "${as_root[@]}" timeout --foreground -k 10 60 invoke-rc.d docker-registry stop >/dev/null 2>&1 </dev/null || true
  "${as_root[@]}" timeout --foreground -k 10 60 update-rc.d docker-registry disable >/dev/null 2>&1 </dev/null || true
}

apt_install() {
  local log=$1
  shift
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive timeout --foreground -k 10 300 apt-get -q -y -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3)
  "${apt[@]}" install --no-install-recommends "$@" >"$log" 2>&1 </dev/null && return 0
  "${apt[@]}" update >>"$log" 2>&1 </dev/null || true
  "${apt[@]}" install --no-install-recommends "$@" >>"$log" 2>&1 </dev/null
}

# npm ci, unless what package-lock.json names is installed already.
need_modules() {
  if [ -f node_modules/.package-lock.json ] && [ ! package-lock.json -nt node_modules/.package-lock.json ]; then return 0; fi
  say "installing npm packages (npm ci)"
  local try
  for try in 1 2; do
    bounded 400 npm ci --no-audit --no-fund --no-update-notifier --loglevel=error </dev/null && break
    [ "$try" -eq 1 ] || fail "npm ci failed; check the network and run this again"
    say "npm ci failed; trying once more"
  done
  # npm keeps the time of an unchanged file: this is what the check above compares.
  touch node_modules/.package-lock.json
}

# dist, unless no source is newer.
need_build() {
  if [ -f dist/src/cli/main.js ] && [ -z "$(find src mount scripts/build.mjs package-lock.json tsconfig.json tsconfig.build.json -newer dist/.built -print -quit 2>/dev/null || echo stale)" ]; then return 0; fi
  say "building (npm run build)"
  bounded 300 npm run --silent build </dev/null || fail "the build failed"
  touch dist/.built
}

# The native engine, without GPU packages, where src/engine/llama/native.ts looks for it. Locked versions; no script of a package runs.
need_engine() {
  local cpu base directory partial log version
  case $(uname -m) in
    x86_64) cpu=x64 ;;
    aarch64) cpu=arm64 ;;
    *) fail "the engine runs on x86_64 and aarch64, not on $(uname -m)" ;;
  esac
  version=$(node -p 'require("./scripts/engine/'$cpu'/package.json").version')
  base=${XDG_DATA_HOME:-}
  case $base in
    /*) ;;
    *) if [ "$(id -u)" -eq 0 ]; then base=/var/lib; else base=~/.local/share; fi ;;
  esac
  directory=$base/ctxfs-engine/$version
  case ${CTX_ENGINE_DIR:-} in /*) directory=$CTX_ENGINE_DIR ;; esac
  export CTX_ENGINE_DIR=$directory
  if [ "$(node -p 'require(process.argv[1]).version' "$directory/node_modules/node-llama-cpp/package.json" 2>/dev/null)" = "$version" ]; then return 0; fi
  say "installing the engine: node-llama-cpp $version, 83 MB, into $directory"
  mkdir -p "$(dirname "$directory")" || fail "cannot make $(dirname "$directory"); set CTX_ENGINE_DIR to a place of yours"
  # Installed beside its place and moved there whole: a broken install never looks like one.
  partial=$(mktemp -d "$directory.XXXXXX")
  log=$partial/npm.log
  cp "scripts/engine/$cpu/package.json" "scripts/engine/$cpu/package-lock.json" "$partial/"
  if ! (cd "$partial" && bounded 300 npm ci --omit=optional --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error >"$log" 2>&1 </dev/null); then
    tail -n 20 "$log" >&2
    rm -rf "$partial"
    fail "the engine could not be installed; check the network and run this again"
  fi
  chmod 755 "$partial"
  mkdir -p "$directory"
  rm -rf "$directory/node_modules"
  mv "$partial/node_modules" "$directory/"
  cp "$partial/package.json" "$partial/package-lock.json" "$directory/"
  rm -rf "$partial"
}
