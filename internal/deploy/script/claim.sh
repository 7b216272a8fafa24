# Claims the machine for a run that prepares a deploy, for as long as lines come
# on stdin: they are its heart-beats. Prints, at first and for each line that is not
# empty, what the machine runs and which generation its profile leads to, as
#   held GENERATION SYSTEM
# or, at first, busy AGE OWNER, where another run has the machine. When another has
# taken it meanwhile, it ends.
# It keeps two drivers from one machine early and with a name; what keeps two
# activations apart is the link that begin.sh makes.
# What the run brings is no garbage meanwhile.
# $1: the run's name, $2: its owner, $3: seconds after which a silent run is over,
# $4: the system that it brings
# shellcheck disable=SC2154 # run and up are from the prelude
umask 077
[ -d "$run/fleet" ] || mkdir -p "$run/fleet"
lease=$run/fleet/lease
uptime
since=$up
# The lease is a line RUN SINCE BEAT PROCESS OWNER.
look() { { read -r holder begun beat process owner <"$lease"; } 2>/dev/null || holder="" begun="" beat="" process="" owner=""; }
mine() { look && [ "$process" = $$ ]; }
write() {
  uptime
  printf '%s %s %s %s %s\n' "$1" "$since" "$up" $$ "$2" >"$lease.$$"
}
held() {
  link=$(readlink /nix/var/nix/profiles/system)
  echo "held ${link:--} $(readlink /run/current-system)"
}
busy() {
  look
  case $begun in '' | *[!0-9]*) begun=$since ;; esac
  echo "busy $((since - begun)) $owner"
  rm -f "$lease.$$"
  exit 0
}
# connection PROCESS: the sshd of the connection that a process came with.
connection() {
  at=$1
  while [ "${at:-1}" -gt 1 ]; do
    case $(ps -o comm= -p "$at") in *sshd*) echo "$at" && return ;; esac
    at=$(ps -o ppid= -p "$at" | tr -d ' ')
  done
}
# hang_up PROCESS RUN: ends the connection of a claim that is over, and what else runs
# on it: its Nix daemon has locks in the store. Where the line was cut, sshd would
# wait for hours.
hang_up() {
  case $(ps -ww -o args= -p "$1" 2>/dev/null) in *" fleet $2 "*) ;; *) return ;; esac
  sshd=$(connection "$1")
  [ -n "$sshd" ] && [ "$sshd" != "$(connection $$)" ] || return
  ps -A -o pid= -o ppid= | while read -r other parent; do
    [ "$parent" != "$sshd" ] || kill -KILL "-$other" 2>/dev/null
  done
  kill "$sshd"
}
# keep has the garbage collector leave a system alone that may not be there yet.
# The root leads through a folder that is emptied at boot, and there is one for all
# runs: of a claim that nobody gave back nothing stays.
keep() {
  roots=/nix/var/nix/gcroots
  [ -d "$roots" ] || return # Nix has yet to make it, with what it needs there
  [ -d "$roots/fleet" ] || (umask 022 && mkdir -p "$roots/fleet")
  ln -sfn "$1" "$run/fleet/coming"
  [ -L "$roots/fleet/coming" ] || ln -sfn "$run/fleet/coming" "$roots/fleet/coming"
}
look
case $beat in '' | *[!0-9]*) beat=-$3 ;; esac # it is no claim
if [ -e "$lease" ] && [ "$holder" != "$1" ] && [ "$((since - beat))" -lt "$3" ]; then
  busy
fi
write "$1" "$2"
if [ -e "$lease" ]; then
  case $process in '' | *[!0-9]*) ;; *) hang_up "$process" "$holder" ;; esac
  mv -f "$lease.$$" "$lease"
else
  ln "$lease.$$" "$lease" 2>/dev/null || busy
  rm -f "$lease.$$"
fi
keep "$4"
held
while read -r asks; do
  mine || exit 0
  write "$1" "$2" && mv -f "$lease.$$" "$lease"
  [ -z "$asks" ] || held
done
! mine || rm -f "$lease" "$run/fleet/coming" /nix/var/nix/gcroots/fleet/coming
[ ! -e "$lease.$$" ] || rm -f "$lease.$$"
