# What the scripts share: packages, toolchain, hugepages. Sourced, not run.
# shellcheck shell=bash

# Debian packages that the build needs.
BUILD_PACKAGES=(gcc libc6-dev linux-libc-dev make pkg-config clang llvm m4 libelf-dev zlib1g-dev libpcap-dev)

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

is_root() { [ "$(id -u)" -eq 0 ]; }

# Installs the packages that are missing, through apt; elsewhere names them.
need_packages() {
    local missing=() package
    command -v dpkg-query >/dev/null || { say "not Debian: assuming the equivalents of: $*"; return; }
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    local apt=(apt-get)
    if ! is_root; then
        command -v sudo >/dev/null || fail "these packages are missing and only root can install them: ${missing[*]}"
        apt=(sudo apt-get)
    fi
    say "installing ${missing[*]}"
    "${apt[@]}" update -qq
    DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Checks that cargo is there and new enough for this workspace.
need_rust() {
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    command -v cargo >/dev/null || fail "Rust $wanted or newer is needed: see https://rustup.rs"
    found=$(rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n1)" = "$wanted" ] ||
        fail "Rust $wanted or newer is needed, found $found: run 'rustup update stable'"
}

# Adds hugepages of 2 MiB where that is allowed; release_hugepages gives them back.
HUGEPAGES_BEFORE=
reserve_hugepages() {
    local file=/proc/sys/vm/nr_hugepages
    [ -w "$file" ] || return 0
    HUGEPAGES_BEFORE=$(cat "$file")
    echo $((HUGEPAGES_BEFORE + $1)) > "$file" || true
}
release_hugepages() {
    [ -z "$HUGEPAGES_BEFORE" ] || echo "$HUGEPAGES_BEFORE" > /proc/sys/vm/nr_hugepages || true
    HUGEPAGES_BEFORE=
}
