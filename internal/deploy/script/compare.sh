# Tells what a machine runs and has, to be compared with a new system; changes
# nothing. NAME=VALUE lines, and after a line "files" the unit files as systemd
# prints them.
# $1: the system that runs, if there is one; the paths of the new one on stdin
say() { printf '%s=%s\n' "$1" "$2"; }

system=$1
say os "$(uname -s)"
if [ -e /nix/var/nix/db ]; then
  lacks=$(xargs nix-store --check-validity --print-invalid) || exit 1
else
  lacks=$(cat) # Nix would make a store to look into
fi
[ -z "$lacks" ] || printf '%s\n' "$lacks" | sed 's/^/lacks=/'
if [ -z "$system" ]; then
  say complete yes
  exit 0
fi
paths=$(nix-store --query --requisites "$system") && sizes=$(printf '%s\n' "$paths" | xargs nix-store --query --size) || exit 1
printf '%s\n' "$paths" | sed 's/^/path=/'
printf '%s\n' "$sizes" | sed 's/^/size=/'
for part in kernel initrd kernel-modules; do
  [ ! -e "/run/booted-system/$part" ] || say booted "$part $(readlink -f "/run/booted-system/$part")"
done
[ ! -r "$system/init-interface-version" ] || say init "$(cat "$system/init-interface-version")"

# The jobs of a Mac.
if cd "$system" 2>/dev/null; then
  set --
  for job in Library/LaunchDaemons/* Library/LaunchAgents/* user/Library/LaunchAgents/*; do
    [ ! -f "$job" ] || set -- "$@" "$job"
  done
  [ $# -eq 0 ] || { sha256sum "$@" 2>/dev/null || shasum -a 256 "$@"; } | sed -n 's/^\([0-9a-f]*\) [ *]/job=\1 /p'
fi
say complete yes

# The running units that the system is in charge of.
dir=$system/etc/systemd/system
if [ ! -d /run/systemd/system ] || [ ! -d "$dir" ]; then exit 0; fi
for file in "$dir"/*; do say own "${file##*/}"; done
set -f
units=
for unit in $(systemctl list-units --plain --no-legend --no-pager --full --state=active,activating | cut -d ' ' -f 1); do
  say active "$unit"
  template=${unit%%@*}@.${unit##*.}
  if [ -e "$dir/$unit" ] || [ -e "$dir/$unit.d" ] || [ -e "$dir/$template" ]; then units="$units $unit"; fi
done
[ -n "$units" ] || exit 0
# shellcheck disable=SC2086 # a list
systemctl show --property=Id --property=FragmentPath --property=DropInPaths -- $units
echo files
# shellcheck disable=SC2086
systemctl cat --no-pager -- $units
exit 0 # a unit may have ended meanwhile
