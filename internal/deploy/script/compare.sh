# Tells what a machine runs and has, to be compared with a new system; changes
# nothing. It goes after system.sh.
# $1: the system that runs, if there is one; the paths of the new one on stdin
if [ -e /nix/var/nix/db ]; then
  lacks=$(xargs nix-store --check-validity --print-invalid) || exit 1
else
  lacks=$(cat) # Nix would make a store to look into
fi
[ -z "$lacks" ] || printf '%s\n' "$lacks" | sed 's/^/lacks=/'
if [ -n "$1" ]; then
  tell_closure "$1"
  tell_parts booted /run/booted-system
  tell_files "$1" || exit 1
fi
say complete yes

# The running units, and which of them the system is in charge of.
[ -n "$1" ] && [ -d /run/systemd/system ] && cd "$1/etc/systemd/system" 2>/dev/null || exit 0
set -f
units=''
for unit in $(systemctl list-units --plain --no-legend --no-pager --full --state=active,activating | cut -d ' ' -f 1); do
  say active "$unit"
  for file in "$unit" "${unit%%@*}@.${unit##*.}"; do
    if [ -e "$file" ] || [ -e "$file.d" ]; then units="$units $unit"; fi
  done
done
# shellcheck disable=SC2086 # a list
[ -z "$units" ] || systemctl show --property=Id --property=FragmentPath -- $units
