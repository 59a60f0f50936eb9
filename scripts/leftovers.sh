# What tests may leave behind on a host: looked at before and after them. Sourced, not run.
# shellcheck shell=bash

# Takes note of what is there, and gives the tests a folder of their own for what they make. Callers
# trap their exit with forget_leftovers.
note_leftovers() {
    LEFTOVERS=$(mktemp --directory)
    # As /tmp itself: tests let processes of other users in.
    chmod 755 "$LEFTOVERS"
    mkdir --mode 1777 "$LEFTOVERS/tmp"
    export TMPDIR=$LEFTOVERS/tmp
    leftovers_seen "$1" > "$LEFTOVERS/before"
    hugepages > "$LEFTOVERS/hugepages"
}

# Names what the tests have left behind, and fails where there is anything. What the kernel takes a
# moment for (hugepages of a process that has just ended) has some seconds.
assert_nothing_left() {
    local try
    for try in $(seq 20); do
        leftovers_now "$1" > "$LEFTOVERS/left"
        [ -s "$LEFTOVERS/left" ] || return 0
        [ "$try" -eq 20 ] || sleep 0.5
    done
    say "left behind by the tests:"
    cat "$LEFTOVERS/left" >&2
    return 1
}

forget_leftovers() { [ -z "${LEFTOVERS-}" ] || rm -rf "$LEFTOVERS"; }

leftovers_now() {
    leftovers_seen "$1" | comm -13 "$LEFTOVERS/before" -
    find "$LEFTOVERS/tmp" -mindepth 1 -printf 'file %p\n'
    # A page that somebody still holds stays in a pool that has been made smaller.
    hugepages | cmp --silent "$LEFTOVERS/hugepages" - ||
        echo "hugepages: $(hugepages), before the tests $(cat "$LEFTOVERS/hugepages")"
}

# Namespaces, interfaces, sockets, and processes of programs under $1, sorted, a line each.
leftovers_seen() {
    {
        # Tests name them by their process: what belongs to one that runs is somebody else's.
        local name pid process
        ip netns list 2>/dev/null | while read -r name _; do
            pid=$(sed -n 's/^wb[a-z-]*\([0-9]\+\).*/\1/p' <<< "$name")
            { [ -n "$pid" ] && [ -d "/proc/$pid" ]; } || echo "network namespace $name"
        done
        ip -oneline link show type veth 2>/dev/null | sed 's/^[0-9]*: \([^:]*\):.*/interface \1/'
        find /run/wirebook -mindepth 1 -printf 'file %p\n' 2>/dev/null || true
        for process in /proc/[0-9]*; do
            case $(readlink "$process/exe") in
                "$1"/*) echo "process ${process##*/}: $(tr '\0' ' ' 2>/dev/null < "$process/cmdline")" ;;
            esac
        done
    } | sort
}

hugepages() { awk '$1 ~ /^HugePages_(Total|Free):/ { printf "%s%s %s", comma, $1, $2; comma = ", " }' /proc/meminfo; }
