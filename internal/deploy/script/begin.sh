# Stages a deploy and starts its supervisor. Begun twice, because a connection
# broke, it is one deploy. Exit status 75: another deploy is under way; 76: the
# goal is a reboot, and nothing would see to it that it can be taken back.
# $1: the deploy's name, $2: the size of its plan, which comes on stdin as
# NAME=VALUE lines, $3: the supervisor, $4: the script that launches it
# shellcheck disable=SC2154 # run and state are from the prelude
set -eu
umask 077
id=$1
dir=$state/$id
mkdir -p "$state"
chmod 700 "$state"
under=$(cat "$state/current" 2>/dev/null || true)
if [ "$under" = "$id" ]; then
  exec /bin/sh "$state/launch"
elif [ -n "$under" ]; then
  exit 75
fi
rm -rf "$dir"
mkdir "$dir"
roots=/nix/var/nix/gcroots/fleet
trap 'rm -rf "$dir"; rm -f "$roots/$id" "$roots/$id-from"' EXIT

cat >"$dir/plan"
size=$(wc -c <"$dir/plan")
[ "$size" -eq "$2" ] || { echo "only $size of $2 bytes arrived" >&2; exit 1; }
out=$(sed -n 's/^out=//p' "$dir/plan")
[ -e "$out" ] || { echo "$out was not copied here" >&2; exit 1; }
from=$(readlink /run/current-system || true)
link=$(readlink /nix/var/nix/profiles/system || true)
if grep -qx goal=reboot "$dir/plan"; then
  # What runs, or is to be booted, may be the new system already: the way back leads
  # to what is known to boot.
  [ "$from" != "$out" ] || from=$(readlink /run/booted-system || true)
  for made in /nix/var/nix/profiles/system-*-link; do
    [ "$(readlink "$made")" != "$from" ] || link=$made
  done
fi
printf 'from=%s\nlink=%s\nsince=%s\n' "$from" "${link##*/}" "$(uptime_seconds)" >>"$dir/plan"
echo "$id" >"$dir/id"
for word in confirmed rejected expired failed killed full rebooted uncommitted; do
  echo "$word" >"$dir/$word"
done
if [ -d /run/systemd/system ]; then
  systemctl list-units --state=failed,auto-restart --plain --no-legend --no-pager | cut -d ' ' -f 1 >"$dir/failed-before"
fi
printf %s "$3" >"$dir/supervise"
printf %s "$4" >"$state/launch.new"
mv -f "$state/launch.new" "$state/launch"
: >>"$dir/log"

# Neither system may be collected as garbage meanwhile.
(
  umask 022
  mkdir -p "$roots"
  ln -sfn "$out" "$roots/$id"
  [ -z "$from" ] || ln -sfn "$from" "$roots/$id-from"
)

# arm sees to it that the supervisor is started again after a reboot, or says why
# it cannot. The unit for that is in the folder that systemd has for what is set
# on the machine itself; a configuration leaves it alone. None is needed where
# every system that may be booted brings one. What is made is listed in armed.
arm() {
  if [ -d /Library/LaunchDaemons ]; then
    echo /Library/LaunchDaemons/org.fleet.recover.plist >"$dir/armed"
    (umask 022 && launchd >/Library/LaunchDaemons/org.fleet.recover.plist)
    return
  fi
  [ -d /run/systemd/system ] || { echo "it has no systemd" >&2 && return 1; }
  lasting "$state" || { echo "$state is in memory" >&2 && return 1; }
  declared=1
  for system in "$out" "$from" /nix/var/nix/profiles/system; do
    [ -e "$system/etc/systemd/system/fleet-recover.service" ] || declared=
  done
  [ -z "$declared" ] || return 0
  place=/etc/systemd/system.control
  wants=$place/multi-user.target.wants
  name=fleet-recover-once.service
  if lasting /etc && [ ! -L "$place" ] && [ ! -L "$wants" ]; then
    printf '%s\n' "$wants/$name" "$place/$name" "$wants" "$place" >"$dir/armed"
    ! (umask 022 && mkdir -p "$wants" && unit >"$place/$name" && ln -sfn "../$name" "$wants/$name") 2>/dev/null || return 0
  fi
  echo "$place is read-only or in memory, and its systems do not all bring fleet-recover.service (the modules of fleet do)" >&2
  return 1
}
# lasting FOLDER: what is in it outlives a reboot.
lasting() { case $(stat -f -c %T "$1" 2>/dev/null) in tmpfs | ramfs) return 1 ;; esac }
unit() {
  cat <<UNIT
[Unit]
Description=Settle the deploy that a reboot has cut off
ConditionPathExists=$state/current
[Service]
Type=oneshot
ExecStart=/bin/sh $state/launch
UNIT
}
launchd() {
  cat <<PLIST
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
<key>Label</key><string>org.fleet.recover</string>
<key>ProgramArguments</key><array><string>/bin/sh</string><string>$state/launch</string></array>
<key>RunAtLoad</key><true/><key>AbandonProcessGroup</key><true/>
</dict></plist>
PLIST
}

undo() {
  [ ! -e "$dir/armed" ] || while read -r made; do rm -f "$made" || rmdir "$made" || :; done <"$dir/armed" 2>/dev/null
  rm -rf "$dir" "$run/fleet/$id"
  rm -f "$state/current" "$roots/$id" "$roots/$id-from"
}

mkdir -p "$run/fleet/$id"
# Whoever makes this link has the machine.
ln "$dir/id" "$state/current" 2>/dev/null || { rm -rf "$run/fleet/$id"; exit 75; }
trap undo EXIT
if ! arm && grep -qx goal=reboot "$dir/plan"; then exit 76; fi
# A power cut takes nothing of that.
# shellcheck disable=SC2046 # a list
sync "$dir"/* "$state/launch" $(cat "$dir/armed" 2>/dev/null) 2>/dev/null || :
/bin/sh "$state/launch"
trap - EXIT
