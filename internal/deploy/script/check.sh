# Runs a health check and ends it, with all that it has started, when it takes
# too long: nobody else does where the driver or the connection is gone.
# $1: seconds, the rest is the command
limit=$1
shift
apart=
! command -v setsid >/dev/null || apart=setsid
[ -n "$apart" ] || set -m
$apart "$@" &
program=$!
# It sleeps in short turns, so that it ends with what it watches.
# shellcheck disable=SC2016 # it is the inner shell that expands
$apart /bin/sh -c 'left=$1; while [ "$left" -gt 0 ]; do sleep 1; kill -0 "$2" 2>/dev/null || exit; left=$((left - 1)); done
  kill -KILL "-$2" || kill -KILL "$2"' sh "$limit" "$program" >/dev/null 2>&1 &
timer=$!
end() { kill -KILL "-$1" 2>/dev/null || kill -KILL "$1" 2>/dev/null; }
trap 'end "$timer"; end "$program"; exit 143' TERM
wait "$program"
status=$?
end "$timer"
exit "$status"
