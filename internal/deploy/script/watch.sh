# Tells how an activation stands: what it printed since the last time, on
# stdout, then a line of the form
#   fleet: POSITION running|ended CODE|killed REASON|gone
# $1: the activation's name, $2: the position of the last time, empty at first
# shellcheck disable=SC2154 # run, the folder /run, is from the prelude
id=$1 at=$2
dir=$run/fleet/$id
unit=fleet-activate-$id

if [ ! -d "$dir" ]; then
  printf '\nfleet: - gone\n'
  exit 0
fi
# The state is read before the output, so that an end means that all output is there.
state=running
if [ -f "$dir/status" ]; then
  state="ended $(cat "$dir/status")"
elif [ -d /run/systemd/system ]; then
  active=$(systemctl show --property=ActiveState --value "$unit")
  case $active in
  active | activating | deactivating | reloading) ;;
  '') ;; # systemd does not answer: it is busy, or going down with the machine
  *)
    # It may have ended between the two looks.
    if [ -f "$dir/status" ]; then
      state="ended $(cat "$dir/status")"
    else
      state="killed $(systemctl show --property=Result --value "$unit")"
    fi
    ;;
  esac
elif ! kill -0 "$(cat "$dir/pid")" 2>/dev/null; then
  if [ -f "$dir/status" ]; then
    state="ended $(cat "$dir/status")"
  else
    state="killed signal"
  fi
fi

if [ -d /run/systemd/system ]; then
  [ "$state" = running ] || journalctl --sync 2>/dev/null
  set --
  [ -z "$at" ] || set -- --after-cursor="$at"
  journalctl --quiet --no-pager --output=cat --show-cursor "$@" "_SYSTEMD_UNIT=$unit.service" >"$dir/new"
  at=$(sed -n 's/^-- cursor: //p' "$dir/new" | tail -n 1 | grep . || printf %s "$at")
  sed '/^-- cursor: /d' "$dir/new"
  rm -f "$dir/new"
else
  size=$(wc -c <"$dir/log" | tr -d ' ')
  tail -c "+$((${at:-0} + 1))" "$dir/log" | head -c "$((size - ${at:-0}))"
  at=$size
fi
printf '\nfleet: %s %s\n' "${at:--}" "$state"
