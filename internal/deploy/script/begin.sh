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
roots=/nix/var/nix/gcroots/fleet
[ -d "${state%/*}" ] || (umask 022 && mkdir -p "${state%/*}") # a Mac has no /var/lib
mkdir -p "$state" "$run/fleet"
chmod 700 "$state"
# begun ends this begin where the machine has a deploy, or has had this one.
begun() {
  under_way
  if [ "$under" = "$id" ]; then
    /bin/sh "$state/launch"
    exit
  elif [ -n "$under" ]; then
    exit 75
  fi
  [ ! -s "$dir/result" ] || exit 0 # it has come to its end already
}
begun

# clear puts a link aside that leads to no deploy; the supervisor says so. One begin
# at a time does that, so that none takes the link that another has just made.
clear() {
  clearing=$run/fleet/clearing
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    if mkdir "$clearing" 2>/dev/null; then
      ! stale || mv -f "$state/current" "$state/emptied"
      break
    fi
    sleep 1
  done
  rmdir "$clearing" 2>/dev/null || : # a begin that was killed may have left it
}
# stale: the link leads to no deploy. It is looked at again at last, for the link of
# one that comes to its end is removed before its folder.
stale() {
  first name "$state/current"
  ! whole "$name" && [ -e "$state/current" ] && first again "$state/current" && [ "$again" = "$name" ]
}
[ ! -e "$state/current" ] || clear

# All is staged aside: the folder of a deploy is there as a whole or not at all.
for left in "$state"/.[0-9]*; do
  [ ! -e "$left" ] || kill -0 "${left##*.}" 2>/dev/null || rm -rf "$left" # of a begin that was killed
done
stage=$state/.$id.$$
trap 'rm -rf "$stage"' EXIT
mkdir "$stage"
cat >"$stage/plan"
size=$(wc -c <"$stage/plan")
[ "$size" -eq "$2" ] || { echo "only $size of $2 bytes arrived" >&2; exit 1; }
read_plan "$stage/plan"
out=$plan_out goal=$plan_goal
[ -e "$out" ] || { echo "$out was not copied here" >&2; exit 1; }
from=$(readlink /run/current-system) || :
link=$(readlink /nix/var/nix/profiles/system) || :
if [ "$from" != "$plan_found" ]; then
  begun # meanwhile
  echo "it ran ${plan_found:-no system} and runs ${from:-none} now: somebody has changed it meanwhile" >&2
  exit 1
fi
if [ "$goal" = reboot ]; then
  # What runs, or is to be booted, may be the new system already: the way back leads
  # to what is known to boot.
  [ "$from" != "$out" ] || from=$(readlink /run/booted-system) || :
  for made in /nix/var/nix/profiles/system-*-link; do
    [ "$(readlink "$made")" != "$from" ] || link=$made
  done
fi
uptime
printf 'from=%s\nlink=%s\nuser=%s\nsince=%s\n' "$from" "${link##*/}" "${SUDO_USER:-}" "$up" >>"$stage/plan"
echo "$id" >"$stage/id"
for word in confirmed rejected expired failed killed full rebooted uncommitted unrestarted; do
  echo "$word" >"$stage/$word"
done
if [ -d /run/systemd/system ]; then
  systemctl list-units --state=failed,auto-restart --plain --no-legend --no-pager | cut -d ' ' -f 1 >"$stage/failed-before"
elif command -v launchctl >/dev/null; then
  failed_jobs >"$stage/failed-before"
fi
printf %s "$3" >"$stage/supervise"
: >"$stage/log"
printf %s "$4" >"$stage/launch"

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
  [ ! -d /run/systemd/system ] || systemctl stop "fleet-activate-$id" 2>/dev/null || :
  [ ! -e "$dir/armed" ] || while read -r made; do rm -f "$made" || rmdir "$made" || :; done <"$dir/armed" 2>/dev/null
  rm -rf "$run/fleet/$id"
  rm -f "$run/fleet/$id.pid" "$roots/$id" "$roots/$id-from"
  # First the link: while it is there the folder is, too.
  rm -f "$state/current"
  rm -rf "$dir"
}
# settled FILE...: they are on the disk, and a power cut does not take them.
settled() { sync "$@" 2>/dev/null || sync; }

settled "$stage"/* "$stage"
mv -f "$stage/launch" "$state/launch"
# Asked in this order: a folder that another begin makes meanwhile is whole.
[ ! -d "$dir" ] || whole "$id" || rm -rf "$dir"
# Where another begin of this deploy, over a connection that is lost, was faster,
# ours is moved into its folder.
mv "$stage" "$dir"
[ ! -e "$dir/${stage##*/}" ] || rm -rf "${dir:?}/${stage##*/}"
mkdir -p "$run/fleet/$id"
settled "$state"
# Whoever makes this link has the machine.
if ! ln "$dir/id" "$state/current" 2>/dev/null; then
  under_way
  [ "$under" != "$id" ] || exec /bin/sh "$state/launch"
  rm -rf "$run/fleet/$id" "$dir"
  exit 75
fi
trap undo EXIT
# Neither system may be collected as garbage meanwhile; nobody else's matters now.
(
  umask 022
  [ -d "$roots" ] || mkdir -p "$roots"
  for old in "$roots"/[0-9]*; do
    [ ! -L "$old" ] || rm -f "$old"
  done
  ln -sfn "$out" "$roots/$id"
  [ -z "$from" ] || ln -sfn "$from" "$roots/$id-from"
)
if ! arm && [ "$goal" = reboot ]; then exit 76; fi
set -- "$state"
if [ -e "$dir/armed" ]; then
  while IFS= read -r made; do set -- "$@" "$made"; done <"$dir/armed"
fi
settled "$@"
/bin/sh "$state/launch"
trap - EXIT
