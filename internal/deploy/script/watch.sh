# Tells how a deploy stands: what its supervisor and its activation printed since
# the last time, on stdout, then a line of the form
#   fleet: POSITION running PHASE CODE|ended RESULT|dead|gone
# dead is a deploy that is not at its end and has no supervisor. One that stands as
# it did is waited for a while.
# $1: the deploy's name, $2: the position of the last time, empty at first, $3: the
# phase that it was in then, $4: fifths of a second to wait
# shellcheck disable=SC2154 # run and state are from the prelude
id=$1 at=$2
dir=$state/$id
unit=fleet-activate-$id

alive() {
  if [ -d /run/systemd/system ]; then
    case $(systemctl show --property=ActiveState --value "$unit") in
    active | activating | deactivating | reloading) ;;
    '') ;; # systemd does not answer: it is busy, or going down with the machine
    *) [ "$(systemctl is-system-running)" = stopping ] ;;
    esac
  else
    first supervisor "$run/fleet/$id.pid"
    kill -0 "$supervisor" 2>/dev/null
  fi
}
# The state is read before the output, so that an end means that all output is
# there. It is one only when another deploy may begin.
look() {
  now=gone
  under_way
  if [ "$under" = "$id" ]; then
    first phase "$run/fleet/$id/phase"
    first code "$dir/code"
    now="running ${phase:-activating} $code"
  elif [ -s "$dir/result" ]; then
    first result "$dir/result"
    now="ended $result"
  fi
}
# news: it is not as it was, nor on the short way from its confirmation to its end.
news() { case $now in "running $3 "* | "running committing "*) return 1 ;; esac }
ticks=$4
while look && [ "$ticks" -gt 0 ] && ! news "$@"; do
  ticks=$((ticks - 1))
  sleep 0.2 2>/dev/null || { sleep 1 && ticks=0; }
done
case $now in
running*)
  if ! alive; then
    look # it may have ended between the two looks
    case $now in running*) now=dead ;; esac
  fi
  ;;
gone)
  printf '\nfleet: - gone\n'
  exit 0
  ;;
esac

# Of more output than this the beginning is left out.
most=1048576
if [ -d /run/systemd/system ]; then
  [ "${now%% *}" = running ] || journalctl --sync 2>/dev/null
  set --
  [ -z "$at" ] || set -- --after-cursor="$at"
  # The last line is the cursor.
  journalctl --quiet --no-pager --output=cat --show-cursor "$@" "_SYSTEMD_UNIT=$unit.service" 2>/dev/null | awk -v most="$most" -v at="${at:--}" -v now="$now" '
    { line[NR] = $0; size += length($0) + 1 }
    { while (size > most && first + 1 < NR) { n = length(line[++first]) + 1; size -= n; left += n; delete line[first] } }
    END {
      last = NR
      if (sub(/^-- cursor: /, "", line[last])) at = line[last--]
      if (left) print "fleet: " left " bytes that it printed are left out here"
      for (i = first + 1; i <= last; i++) print line[i]
      print "\nfleet: " at " " now
    }'
else
  at=${at:-0}
  size=$(($(wc -c <"$dir/log") + 0)) # that of a Mac prints spaces before it
  left=$((size - at - most))
  if [ "$left" -gt 0 ]; then
    printf '\nfleet: %s bytes that it printed are left out here\n' "$left"
    at=$((at + left))
  fi
  # BSD's head refuses to print nothing.
  [ "$size" -le "$at" ] || tail -c "+$((at + 1))" "$dir/log" | head -c "$((size - at))"
  printf '\nfleet: %s %s\n' "$size" "$now"
fi
