# Looks at a machine and prints NAME=VALUE lines; changes nothing.
# $1: the machine's age key file
# shellcheck disable=SC2154 # run, the folder /run, is from the prelude
say() { printf '%s=%s\n' "$1" "$2"; }

say uid "$(id -u)"
say user "$(id -un)"
say os "$(uname -s)"
[ ! -e /etc/NIXOS ] || say nixos yes
say nix "$(nix-daemon --version 2>/dev/null | sed -n '1s/.* //p')"
say system "$(readlink /run/current-system)"
say booted "$(readlink /run/booted-system)"
link=$(readlink /nix/var/nix/profiles/system)
say generation "$link"
[ -z "$link" ] || say profile "$(readlink "/nix/var/nix/profiles/${link##*/}")"
[ ! -e "$run/fleet/activating" ] || say activating "$(cat "$run/fleet/activating")"
if [ -d "${1%/*}" ] && [ ! -x "${1%/*}" ]; then
  say keyhidden yes
elif [ -e "$1" ]; then
  say keydigest "$({ sha256sum "$1" || shasum -a 256 "$1"; } 2>/dev/null | cut -d ' ' -f 1)"
  say keymode "$(stat -c %a "$1" 2>/dev/null || stat -f %Lp "$1")"
fi
df -Pk "$([ -e /nix/store ] && echo /nix/store || echo /)" | sed -n '$s/^.* \([0-9][0-9]*\)  *[0-9][0-9]*  *\([0-9][0-9]*\)  *[0-9-][0-9]*%*  *\(.*\)$/disk=\1 \2 \3/p'
if [ -d /run/systemd/system ]; then
  say systemd yes
  systemctl list-units --state=failed --plain --no-legend --no-pager | while read -r unit _; do
    say failed "$unit"
  done
fi
