# Claims the machine for a run that prepares a deploy, for as long as lines come
# on stdin: they are its heart-beats. Prints held, or busy AGE OWNER.
# It keeps two drivers from one machine early and with a name; what keeps two
# activations apart is the link that begin.sh makes.
# $1: the run's name, $2: its owner, $3: seconds after which a silent run is over
# shellcheck disable=SC2154 # run is from the prelude
umask 077
mkdir -p "$run/fleet"
lease=$run/fleet/lease
since=$(uptime_seconds)
mine() { [ "$(cut -d ' ' -f 1 "$lease" 2>/dev/null)" = "$1" ]; }
write() { printf '%s %s %s %s\n' "$1" "$since" "$(uptime_seconds)" "$2" >"$lease.$$"; }
busy() {
  read -r _ begun _ owner <"$lease" 2>/dev/null
  case ${begun:-} in '' | *[!0-9]*) begun=$since ;; esac
  echo "busy $((since - begun)) ${owner:-}"
  rm -f "$lease.$$"
  exit 0
}
beat=$(cut -d ' ' -f 3 "$lease" 2>/dev/null)
case $beat in '' | *[!0-9]*) beat=-$3 ;; esac # it is no claim
if [ -e "$lease" ] && ! mine "$1" && [ "$((since - beat))" -lt "$3" ]; then
  busy
fi
write "$1" "$2"
if [ -e "$lease" ]; then
  mv -f "$lease.$$" "$lease"
else
  ln "$lease.$$" "$lease" 2>/dev/null || busy
fi
echo held
while read -r _; do
  mine "$1" || exit 0
  write "$1" "$2" && mv -f "$lease.$$" "$lease"
done
! mine "$1" || rm -f "$lease"
rm -f "$lease.$$"
