#!@busybox@/bin/sh
# Lists of units are split at spaces on purpose; the interpreter is filled in.
# shellcheck disable=SC2239,SC2086,SC2002,SC2013,SC2116
# switch-to-configuration check|switch|boot|test|dry-activate: brings this
# system into force, by the contract of the NixOS program of that name.
#
#   0    done
#   1    not root, wrong usage, a pre-switch check failed
#   2    the activation script failed; everything after it was done all the same
#   4    units failed
#   11   another one runs
#   100  this system's init cannot be switched to: reboot
#
# Units are managed where systemd runs. Those that are ours lie in the system's
# etc/systemd/system; what else the host has in /etc/systemd/system is never
# touched. The boot loader is a file, /boot/fleet-default, and a unit that runs
# `switch-to-configuration init` of the system it names.
set -u
PATH=@busybox@/bin:@util-linux@/bin:/usr/bin:/bin:/usr/sbin:/sbin
export PATH
toplevel=@out@
action=${1-}

case $action in
check | switch | boot | test | dry-activate | init) ;;
*)
	echo "Usage: $0 check|switch|boot|test|dry-activate" >&2
	exit 1
	;;
esac
if [ "$(id -u)" != 0 ]; then
	echo "$0: must be run as root" >&2
	exit 1
fi
export NIXOS_ACTION="$action"

# A folder that stands for a machine may be bare.
[ -e /dev/null ] || { mkdir -p /dev && mknod -m 666 /dev/null c 1 3; } || exit 1
mkdir -p /run/nixos
exec 9>/run/nixos/switch-to-configuration.lock
if ! flock -n 9; then
	echo "Could not acquire lock" >&2
	exit 11
fi

if [ "$action" != init ] && [ "${NIXOS_NO_CHECK-}" != 1 ]; then
	@preSwitchChecks@ "$toplevel" "$action" || exit 1
fi
[ "$action" != check ] || exit 0

systemd=
[ ! -d /run/systemd/system ] || systemd=1

if [ "$action" = switch ] || [ "$action" = boot ]; then
	mkdir -p /boot
	echo "$toplevel" >/boot/.fleet-default.new
	mv /boot/.fleet-default.new /boot/fleet-default
	if [ "$systemd" ] && [ ! -e /etc/systemd/system/nixos-boot.service ]; then
		mkdir -p /etc/systemd/system/sysinit.target.wants
		cat >/etc/systemd/system/nixos-boot.service <<-'UNIT'
			[Unit]
			Description=The system that /boot/fleet-default names
			DefaultDependencies=no
			After=local-fs.target systemd-tmpfiles-setup.service
			Before=sysinit.target shutdown.target
			Conflicts=shutdown.target

			[Service]
			Type=oneshot
			RemainAfterExit=yes
			ExecStart=/bin/sh -c 'exec "$(cat /boot/fleet-default)/init"'
		UNIT
		ln -s ../nixos-boot.service /etc/systemd/system/sysinit.target.wants/nixos-boot.service
	fi
fi
[ "${NIXOS_NO_SYNC-}" = 1 ] || [ "$action" = dry-activate ] || sync
[ "$action" != boot ] || exit 0

current=$(readlink -f /run/current-system 2>/dev/null)
if [ -e "$current/init-interface-version" ] &&
	! cmp -s "$current/init-interface-version" "$toplevel/init-interface-version"; then
	echo "Warning: the new NixOS configuration has an 'init' that is incompatible with the current configuration.  The new configuration won't take effect until you reboot the system." >&2
	exit 100
fi

# At boot there is no current system, but /etc still shows the last one's units.
before=$current/etc
if [ "$action" = init ]; then
	before=$(readlink -f /etc/static 2>/dev/null)
fi

# What is to be done with which units: words in these lists.
stop='' start='' restart='' reload='' skip=''

unitsOf() {
	[ -d "$1/systemd/system" ] || return 0
	find -L "$1/systemd/system/" -maxdepth 1 -type f | sed 's|.*/||' | sort
}
says() { grep -q "^$2$" "$1"; }
has() { case " $1 " in *" $2 "*) return 0 ;; *) return 1 ;; esac; }
active() { systemctl is-active --quiet "$1" 2>/dev/null; }
# A unit file without the lines that only a reload answers.
core() { grep -v '^X-Reload-Triggers=' "$1"; }
# wanted UNIT: whether something of ours starts it.
wanted() {
	for link in "$toplevel/etc/systemd/system"/*.wants/"$1" "$toplevel/etc/systemd/system"/*.requires/"$1"; do
		[ ! -e "$link" ] || return 0
	done
	return 1
}
failed() { systemctl list-units --state=failed --plain --no-legend --no-pager | awk '{ print $1 }'; }
# tell WHAT UNITS: says on stderr what happens to the units, if there are any.
tell() {
	[ -z "${2# }" ] || echo "$1 the following units: $(echo $2 | sed 's/ /, /g')" >&2
}

plan() {
	for unit in $(unitsOf "$before"); do
		old=$before/systemd/system/$unit
		new=$toplevel/etc/systemd/system/$unit
		if [ ! -e "$new" ]; then
			! active "$unit" || stop="$stop $unit"
		elif ! cmp -s "$old" "$new"; then
			case $unit in *.target | *.slice) continue ;; esac
			if ! active "$unit"; then
				continue
			elif says "$new" X-RestartIfChanged=false; then
				skip="$skip $unit"
			elif says "$new" X-ReloadIfChanged=true || [ "$(core "$old")" = "$(core "$new")" ]; then
				reload="$reload $unit"
			elif says "$new" X-StopIfChanged=false; then
				restart="$restart $unit"
			else
				stop="$stop $unit"
				start="$start $unit"
			fi
		fi
	done
	for unit in $(unitsOf "$toplevel/etc") $(cat /run/nixos/start-list 2>/dev/null); do
		if wanted "$unit" && ! active "$unit" && ! has "$start" "$unit"; then
			start="$start $unit"
		fi
	done
}

if [ "$action" = dry-activate ]; then
	if [ "$systemd" ]; then
		plan
		tell "would stop" "$stop"
		tell "would NOT restart" "$skip"
	fi
	echo "would activate the configuration..." >&2
	"$toplevel/dry-activate" 9>&- || :
	for list in restart reload; do
		more=$(cat "/run/nixos/dry-activation-$list-list" 2>/dev/null | tr '\n' ' ')
		rm -f "/run/nixos/dry-activation-$list-list"
		eval "$list=\"\$$list $more\""
	done
	tell "would reload" "$reload"
	tell "would restart" "$restart"
	tell "would start" "$start"
	exit 0
fi

exitCode=0
if [ "$systemd" ]; then
	failedBefore=$(failed)
	plan
	tell stopping "$stop"
	# A run that is cut off here leaves word of what it owes.
	printf '%s\n' $start >/run/nixos/start-list
	[ -z "$stop" ] || systemctl stop -- $stop 9>&- || exitCode=4
	tell "NOT restarting" "$skip"
fi

[ "$action" = init ] || echo "activating the configuration..." >&2
if ! "$toplevel/activate" 9>&-; then
	echo "Failed to run activate script" >&2
	exitCode=2
fi
if [ "$action" = init ]; then
	ln -sfn "$toplevel" /run/booted-system
fi

if [ "$systemd" ]; then
	systemctl daemon-reload || exitCode=4
	for list in restart reload; do
		for unit in $(cat "/run/nixos/activation-$list-list" 2>/dev/null); do
			if ! active "$unit" || has "$start $restart" "$unit"; then continue; fi
			eval "$list=\"\$$list $unit\""
		done
		rm -f "/run/nixos/activation-$list-list"
	done
	if [ "$action" = init ]; then
		# Booting goes on beside us.
		[ -z "$start" ] || systemctl start --no-block -- $start 9>&-
	else
		tell reloading "$reload"
		[ -z "$reload" ] || systemctl reload -- $reload 9>&- || exitCode=4
		tell restarting "$restart"
		[ -z "$restart" ] || systemctl restart -- $restart 9>&- || exitCode=4
		tell starting "$start"
		[ -z "$start" ] || systemctl start -- $start 9>&- || exitCode=4
		# A program that dies at once is up for a moment.
		[ -z "$restart$start" ] || sleep 0.3
		bad=
		for unit in $(failed); do
			has "$(echo $failedBefore)" "$unit" && ! has "$start $restart" "$unit" || bad="$bad $unit"
		done
		for unit in $start $restart; do
			if [ "$(systemctl show -p SubState --value "$unit")" = auto-restart ] && ! has "$bad" "$unit"; then
				bad="$bad $unit"
			fi
		done
		if [ "$bad" ]; then
			echo "warning: the following units failed: $(echo $bad | sed 's/ /, /g')" >&2
			for unit in $bad; do
				systemctl status --no-pager --full "$unit" >&2
			done
			exitCode=4
		fi
	fi
	rm -f /run/nixos/start-list
fi
exit $exitCode
