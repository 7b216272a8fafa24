# Tells what a machine runs and has, to be compared with a new system; changes
# nothing. NAME=VALUE lines, and after a line "files" unit files: a line file=NAME
# and those of the file, each after a space.
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
# What NixOS refuses to change but by a reboot.
[ ! -r "$system/switch-inhibitors" ] || say inhibitors "$(tr -d '\n' <"$system/switch-inhibitors")"

# The jobs of a Mac.
if cd "$system" 2>/dev/null; then
  set --
  for job in Library/LaunchDaemons/* Library/LaunchAgents/* user/Library/LaunchAgents/*; do
    [ ! -f "$job" ] || set -- "$@" "$job"
  done
  [ $# -eq 0 ] || { sha256sum "$@" 2>/dev/null || shasum -a 256 "$@"; } | sed -n 's/^\([0-9a-f]*\) [ *]/job=\1 /p'
fi
say complete yes

# The running units that the system is in charge of, and what they are made of.
if [ ! -d /run/systemd/system ] || ! cd "$system/etc/systemd/system" 2>/dev/null; then exit 0; fi
for file in * *.d/* *.wants/* *.requires/* *.upholds/*; do say own "$file"; done
[ ! -f "$system/etc/fstab" ] || sed 's/^/fstab=/' "$system/etc/fstab"
set -f
units='' files=''
for unit in $(systemctl list-units --plain --no-legend --no-pager --full --state=active,activating | cut -d ' ' -f 1); do
  say active "$unit"
  for file in "$unit" "${unit%%@*}@.${unit##*.}"; do
    if [ -e "$file" ] || [ -e "$file.d" ]; then units="$units $unit" files="$files $file"; fi
  done
done
[ -n "$units" ] || exit 0
# shellcheck disable=SC2086 # a list
systemctl show --property=Id --property=FragmentPath -- $units
echo files
set --
for file in $files; do
  set +f
  for part in "$file" "$file.d"/*.conf; do
    [ ! -f "$part" ] || set -- "$@" "./$part"
  done
  set -f
done
[ $# -eq 0 ] || awk 'FNR == 1 { print "file=" substr(FILENAME, 3) } { print " " $0 }' "$@"
