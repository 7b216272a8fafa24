# Takes one deploy of this machine to its end: activates the new system, waits
# for the confirmation, and makes the system permanent or goes back to the one
# before. It depends on nobody, and it can be started again wherever it stopped:
# what has happened is in files of the deploy's folder.
#
#   begun      the activation was started
#   code       its exit status; 0 where the goal is to boot, not to activate
#   committed  goal reboot: the next boot takes the new system
#   reverted   goal reboot: the next boot takes the system of before again
#   decision   what is to become of it: a link to one of the prepared files
#              confirmed, rejected, expired, failed, killed, full, rebooted,
#              uncommitted, unrestarted; whoever makes the link first has decided
#   result     the end: done CODE | rolled-back WHY CODE | failed WHY CODE
#              (it is as it was, or there is nothing to go back to) |
#              stranded WHY CODE (going back did not succeed)
#
# Up to the confirmation neither the profile nor the boot loader is touched, so
# that a reboot ends where it began. Only the goal reboot touches them before: it
# is confirmed after the reboot, or there is another one, back.
#
# $1: the deploy's folder
# shellcheck disable=SC2154 # run, the folder /run, is from the prelude
set -u
umask 077
dir=$1 state=${1%/*} id=${1##*/}
live=$run/fleet/$id # is not there after a reboot
profile=/nix/var/nix/profiles/system
roots=/nix/var/nix/gcroots/fleet

read_plan "$dir/plan"
out=$plan_out from=$plan_from link=$plan_link class=$plan_class goal=$plan_goal
window=$plan_window limit=$plan_limit generation=$plan_generation user=$plan_user
# The new system may lack programs that the old one has.
PATH=$PATH:$from/sw/bin
export PATH
# The machine goes down: whatever is left to do is done when it is up again.
trap 'exit 0' TERM

# What a program printed last may lack the end of its line.
say() { printf '\nfleet: %s\n' "$*"; }
phase() { echo "$1" >"$live/phase.new" && mv -f "$live/phase.new" "$live/phase"; }
put() { echo "$2" >"$dir/$1.new" && mv -f "$dir/$1.new" "$dir/$1"; }
# A link needs no room on a disk that is full.
decide() { ln "$dir/$1" "$dir/decision" 2>/dev/null; }
current() { readlink /run/current-system; }

apart=
! command -v setsid >/dev/null || apart=setsid
[ -n "$apart" ] || set -m

# group SIGNAL PID: signals a program of ours with all that it has started.
group() { kill "-$1" "-$2" 2>/dev/null || kill "-$1" "$2" 2>/dev/null; }

# limited COMMAND...: runs a program of a system, for $limit seconds at most.
# Its exit status is 124 if it took longer.
limited() {
  [ ! -e "$live/overdue" ] || rm -f "$live/overdue"
  (umask 022 && cd / && exec $apart "$@") &
  program=$!
  echo "$program" >"$live/program"
  # It sleeps in short turns, so that none is left when it is not needed any more,
  # and ends with the program should we be killed: the number of that may then be
  # another's.
  # shellcheck disable=SC2016
  $apart /bin/sh -c 'left=$1; while [ "$left" -gt 0 ]; do sleep 1; kill -0 "$2" 2>/dev/null || exit; left=$((left - 1)); done
    : >"$3"; kill -TERM "-$2"
    for _ in 1 2 3 4 5; do sleep 1; kill -0 "-$2" || exit; done
    kill -KILL "-$2"' \
    sh "$limit" "$program" "$live/overdue" >/dev/null 2>&1 &
  timer=$!
  wait "$program"
  status=$?
  [ -e "$live/overdue" ] || group KILL "$timer" # or it sees to what the program has started
  wait "$timer" 2>/dev/null
  : >"$live/program"
  [ ! -e "$live/overdue" ] || status=124
  return "$status"
}

# apply SYSTEM ACTION: has a system do ACTION, as its class knows it.
apply() {
  if [ "$class" = darwin ]; then
    apply_user "$1" && limited "$1/activate"
  else
    limited "$1/bin/switch-to-configuration" "$2"
  fi
}

# apply_user SYSTEM: has the user activate their part of a nix-darwin system from
# before 2025. A later one has none, or a program that only says so.
apply_user() {
  if [ ! -x "$1/activate-user" ] || grep -q '^# nix-darwin: deprecated$' "$1/activate-user"; then return 0; fi
  [ -n "$user" ] || { say "$1/activate-user is left out: it is root who logged in" && return 0; }
  limited sudo -H -u "$user" -- "$1/activate-user"
}

# set_profile OPTION...: has nix-env change the system profile.
set_profile() {
  limited nix-env --profile "$profile" "$@"
  status=$?
  [ "$status" != 124 ] || echo "nix-env took longer than $limit s and was stopped"
  return "$status"
}

# commit makes the new system what the machine boots.
commit() {
  [ "$goal" != test ] && [ ! -e "$dir/committed" ] || return 0
  if [ "${generation:-0}" -gt 0 ]; then
    [ "$(readlink "$profile-$generation-link")" = "$out" ] && set_profile --switch-generation "$generation" || return
  else
    set_profile --set "$out" || return
  fi
  case $class in
  darwin) [ -z "$rebooted" ] || apply "$out" ;; # it has come up on the system of before
  *) apply "$out" boot ;;
  esac
}

# restart has systemd take the machine down, and us with it. It returns only if
# that does not happen.
restart() {
  phase rebooting
  say "restarting"
  sync
  # What it logs into the journal by itself may not be told for ours.
  if SYSTEMD_LOG_TARGET=console systemctl reboot; then
    left=300
    while [ "$left" -gt 0 ]; do
      sleep 1
      left=$((left - 1))
    done
    echo "it did not go down within 300 s"
  fi
  say "the restart has failed"
  return 1
}

finish() {
  say "$*" # before the result, after which nobody listens
  # A system that failed and runs all the same is to be activated again.
  if [ "$1" = failed ] && [ "$(current)" = "$out" ]; then
    (umask 022 && echo "$out" >"$run/fleet-activating")
  else
    rm -f "$run/fleet-activating"
  fi
  until put result "$*"; do
    say "cannot write $dir/result; trying again"
    sleep 10
  done
  sync "$dir/result" 2>/dev/null || sync # before its link is removed
  tidy
}

# tidy removes what only a deploy under way needs.
tidy() {
  [ -L "$run/fleet/coming" ] || rm -f "$roots/coming" # of a claim that a reboot has ended
  if [ -e "$dir/armed" ]; then
    while read -r made; do rm -f "$made" || rmdir "$made"; done <"$dir/armed" 2>/dev/null
    # An activation, or the boot, has had systemd read the unit.
    if [ -d /run/systemd/system ] && [ "$(systemctl show --property=LoadState --value fleet-recover-once.service)" = loaded ]; then
      systemctl daemon-reload
    fi
  fi
  # The last five are kept. Their names tell no order, they have the times of
  # different drivers.
  set -- "$state"/[0-9]*
  # shellcheck disable=SC2012 # the names are ours
  [ $# -le 5 ] || ls -td "$@" | tail -n +6 | while read -r old; do
    [ "$old" = "$dir" ] || rm -rf "$old"
  done
  rm -rf "$live" "${roots:?}/$id" "${roots:?}/$id-from"
  rm -f "$state/current" "$run/fleet/$id.pid" # from here on another deploy may begin
  exit 0
}

# profile_back leads the profile back to where the deploy found it.
profile_back() {
  now=$(readlink "$profile")
  if [ -n "$link" ] && [ "${now##*/}" != "$link" ]; then
    number=${link#system-}
    set_profile --switch-generation "${number%-link}" || lost=$?
    permanent=switch
  fi
}

# back WHY: goes back to the system that the deploy found.
back() {
  phase rolling-back
  permanent="test" lost=
  if [ -z "$from" ] || [ ! -e "$from" ] || [ "$from" = "$out" ]; then
    profile_back
    finish failed "$1" "$code"
  fi
  # A check before the switch said no; had it begun, there were a list of what to start.
  if [ "$1:$class:$code" = failed:nixos:1 ] && [ "$(current)" = "$from" ] && [ ! -s "$run/nixos/start-list" ]; then
    finish failed "$1" "$code"
  fi
  # Another switch is under way.
  if [ "$1:$class:$code" = failed:nixos:11 ] && [ "$(current)" != "$out" ]; then
    finish failed "$1" "$code"
  fi
  say "going back to $from"
  # Its checks before a switch are not asked: it ran, and nobody may be able to reach this one.
  export NIXOS_NO_CHECK=1
  profile_back
  [ "$1" != uncommitted ] || permanent=switch
  if [ -e "$dir/committed" ] && [ ! -e "$dir/reverted" ]; then
    apply "$from" boot || finish stranded "$1" "$?"
    ln "$dir/id" "$dir/reverted"
    [ -z "$rebooted" ] || restart || phase rolling-back
  fi
  at=$(current)
  # A Mac that restarts keeps what the new system has put in place.
  if [ -z "$rebooted" ] || [ "$class" = darwin ] || { [ "$at" != "$from" ] && [ "$at" != "$(readlink "${profile%/*}/$link")" ]; }; then
    apply "$from" "$permanent"
    status=$?
    [ "$(current)" = "$from" ] || finish stranded "$1" "$status"
  fi
  [ -z "$lost" ] || finish stranded "$1" "$lost" # its profile leads to the new system
  finish rolled-back "$1" "$code"
}

rebooted=
[ -d "$live" ] || { rebooted=1 && mkdir -p "$live"; }
[ ! -s "$dir/result" ] || tidy
if [ -e "$state/emptied" ]; then
  say "a power cut had emptied the deploy before, which counts as none"
  rm -f "$state/emptied"
fi
first code "$dir/code"

if [ ! -e "$dir/decision" ]; then
  if [ -n "$rebooted" ] && [ -e "$dir/committed" ]; then
    code=0
    [ "$(current)" = "$out" ] || decide failed # it boots something else
  elif [ -n "$rebooted" ]; then
    decide rebooted
  elif [ "$goal" = boot ] || [ "$goal" = reboot ]; then
    code=0
    put code "$code" || decide full
  elif [ -z "$code" ] && [ -e "$dir/begun" ]; then
    # We were killed, and the activation perhaps not.
    [ ! -s "$live/program" ] || group KILL "$(cat "$live/program")"
    decide killed
  elif [ -z "$code" ]; then
    ln "$dir/id" "$dir/begun"
    phase activating
    apply "$out" test
    code=$?
    put code "$code" || decide full
    case $class:$code in
    *:0 | nixos:4 | nixos:100) ;;
    *) decide failed ;;
    esac
  fi
fi
code=${code:--}

if [ "$goal" = reboot ] && [ -z "$rebooted" ] && [ ! -e "$dir/decision" ]; then
  phase committing
  commit || decide uncommitted
  ln "$dir/id" "$dir/committed" 2>/dev/null
  [ -e "$dir/decision" ] || restart || decide unrestarted
fi
[ "$goal" != boot ] || decide confirmed # nothing that runs has changed

if [ ! -e "$dir/decision" ]; then
  phase waiting
  say "waiting $window s for the confirmation"
  ticks=$((window * 10))
  while [ ! -e "$dir/decision" ] && [ "$ticks" -gt 0 ]; do
    ticks=$((ticks - 1))
    sleep 0.1 2>/dev/null || { sleep 1 && ticks=$((ticks - 9)); }
  done
  decide expired
fi

# While a Mac starts, the volume with /nix may be mounted later than it answers.
[ ! -x /bin/wait4path ] || /bin/wait4path /nix/store
first why "$dir/decision"
[ "$why" = confirmed ] || back "$why"
phase committing
if commit; then
  # A restart since it was confirmed has brought up the system of before.
  if [ -n "$rebooted" ] && [ "$(current)" != "$out" ]; then
    [ "$goal" != test ] || finish rolled-back rebooted "$code"
    code=100 # which is to say that it must be restarted
  fi
  finish "done" "$code"
fi
back uncommitted
