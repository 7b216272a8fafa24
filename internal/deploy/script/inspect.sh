# Looks at a machine and prints NAME=VALUE lines; changes nothing.
# $1: the machine's age key file, if that is wanted, $2: a deploy whose failed units
# of before are wanted, if any, in place of what does not change meanwhile
# shellcheck disable=SC2154 # run and state are from the prelude
say() { printf '%s=%s\n' "$1" "$2"; }

uid=$(id -u)
say uid "$uid"
[ "$uid" = 0 ] || say user "$(id -un)"
say os "$(uname -s)"
[ ! -e /etc/NIXOS ] || say nixos yes
daemon=$(command -v nix-daemon)
say nixdaemon "$daemon"
if [ -z "$2" ]; then
  # Its version is that of its package: to ask it takes longer than all the rest.
  package=$(readlink "$daemon")
  case $package in /nix/store/*) ;; *) package=$(cd -P "${daemon%/*}" 2>/dev/null && pwd -P)/ ;; esac
  case $package in /nix/store/*-*/bin/*)
    package=${package#/nix/store/*-}
    say nix "${package%%/*}"
    ;;
  esac
fi
say system "$(readlink /run/current-system)"
say booted "$(readlink /run/booted-system)"
# What only a reboot can bring up.
for part in kernel initrd kernel-modules; do
  [ ! -e "/run/booted-system/$part" ] || [ "$(readlink -f "/run/booted-system/$part")" = "$(readlink -f "/run/current-system/$part")" ] || say rebootneeded yes
done
link=$(readlink /nix/var/nix/profiles/system)
say generation "$link"
if [ -n "$link" ]; then
  link=/nix/var/nix/profiles/${link##*/}
  say profile "$(readlink "$link")"
fi
if [ -n "$link" ] && [ -z "$2" ]; then
  created=$(stat -c %Y "$link" 2>/dev/null) || created=$(stat -f %m "$link")
  say created "$created"
fi
first activating "$run/fleet-activating"
say activating "$activating"
under_way
if [ -n "$under" ]; then
  say deploy "$under"
  uptime
  say deployout "$plan_out"
  say deployowner "$plan_owner"
  # Time since the machine was booted does not depend on anybody's clock.
  [ ! -d "$run/fleet/$under" ] || say deployage "$((up - plan_since))"
  first phase "$run/fleet/$under/phase"
  say deployphase "$phase"
  first supervisor "$run/fleet/$under.pid"
  if [ -d /run/systemd/system ]; then
    case $(systemctl show --property=ActiveState --value "fleet-activate-$under") in
    active | activating | reloading | deactivating) say deploylive yes ;;
    esac
  elif kill -0 "$supervisor" 2>/dev/null; then
    say deploylive yes
  fi
fi
if { read -r run_claims since beat _ owner <"$run/fleet/lease"; } 2>/dev/null; then
  uptime
  say claim "$up $since $beat $run_claims $owner"
fi
if [ -d "${1%/*}" ] && [ ! -x "${1%/*}" ]; then
  say keyhidden yes
elif [ -e "$1" ]; then
  digest=$(sha256sum "$1" 2>/dev/null) || digest=$(shasum -a 256 "$1" 2>/dev/null)
  say keydigest "${digest%% *}"
  mode=$(stat -c %a "$1" 2>/dev/null) || mode=$(stat -f %Lp "$1")
  say keymode "$mode"
fi
store=/nix/store
[ -e "$store" ] || store=/
[ -n "$2" ] || df -Pk "$store" | sed -n '$s/^.* \([0-9][0-9]*\)  *[0-9][0-9]*  *\([0-9][0-9]*\)  *[0-9-][0-9]*%*  *\(.*\)$/disk=\1 \2 \3/p'
if [ -d /run/systemd/system ]; then
  say systemd yes
  systemctl list-units --state=failed --plain --no-legend --no-pager | while read -r unit _; do
    say failed "$unit"
  done
  # Between two tries to start, a unit that fails is not in the state failed.
  systemctl list-units --state=auto-restart --plain --no-legend --no-pager | while read -r unit _; do
    say restarting "$unit"
  done
elif command -v launchctl >/dev/null; then
  failed_jobs | sed 's/^/failed=/'
fi
[ ! -e "$state/$2/failed-before" ] || sed 's/^/failedbefore=/' "$state/$2/failed-before"
