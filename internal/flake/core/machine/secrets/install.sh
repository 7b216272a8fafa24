# shellcheck shell=sh
#
# fleet-install-secrets MANIFEST PLACE KEY SOPS MACHINE
#
# Decrypts the secrets that MANIFEST lists and makes PLACE (/run/secrets) a link
# to them, all at once. They are written into a new generation below PLACE.d, on
# memory, which nobody but root can enter until every file has its owner and
# mode. Whatever fails, the generation that is there stays as it is and the exit
# status is 1. A line of MANIFEST has, between tabs: the name, the encrypted
# file, mode, owner, group, and the systemd units to restart, between commas.
# They are noted for the switch that runs us; with FLEET_RESTART=now there is
# none, and systemd is asked.

set -eu
umask 077

manifest=$1
place=$2
key=$3
sops=$4
machine=$5

store=$place.d
restart_list=/run/nixos/activation-restart-list
tab=$(printf '\t')
current=
next=

# What is said while the machine boots goes to the kernel's log too, from where
# the journal takes it: nobody reads along then.
say() {
	echo "fleet: $*" >&2
	if [ -z "$current" ] && [ -w /dev/kmsg ] && [ ! -p /dev/kmsg ]; then
		echo "<3>fleet: $*" >>/dev/kmsg || :
	fi
}

fail() {
	say "$*"
	say "the secrets in $place stay as they were"
	exit 1
}

cleanup() {
	status=$?
	[ -z "$next" ] || rm -rf "$next"
	exit "$status"
}

# A root directory that stands for a machine is no place to mount something:
# it would outlive us on the machine at hand. A machine whose first stage is a
# systemd activates from there, for itself.
in_chroot() {
	[ "$(uname -s)" != Darwin ] && [ -z "${IN_NIXOS_SYSTEMD_STAGE1-}" ] || return 1
	[ ! -e /proc/1/root ] || [ "$(stat -L -c %d:%i /proc/1/root)" != "$(stat -L -c %d:%i /)" ]
}

mounted() {
	[ "$(stat -c %d "$store")" != "$(stat -c %d "$store/..")" ]
}

mount_memory() {
	if [ "$(uname -s)" = Darwin ]; then
		device=$(hdiutil attach -nomount ram://32768 | tr -d '[:space:]') &&
			newfs_hfs -v fleet-secrets "$device" >/dev/null &&
			mount -t hfs -o nobrowse,nodev,nosuid "$device" "$store"
	else
		mount -t ramfs -o nodev,nosuid,mode=0751 none "$store" 2>/dev/null ||
			mount -t tmpfs -o nodev,nosuid,noswap,mode=0751 none "$store" 2>/dev/null ||
			mount -t tmpfs -o nodev,nosuid,mode=0751 none "$store" 2>/dev/null
	fi
}

on_memory() {
	case $(stat -f -c %T "$store") in
	tmpfs | ramfs) true ;;
	*) false ;;
	esac
}

prepare_store() {
	mkdir -p "$store"
	if ! mounted && { in_chroot || ! mount_memory; } && ! on_memory; then
		say "warning: nothing can be mounted at $store, so the secrets lie on its disk"
	fi
	chmod 0751 "$store"
}

decrypt() {
	message=$(env -i PATH="$PATH" HOME=/var/empty SOPS_AGE_KEY_FILE="$key" \
		"$sops" decrypt --input-type binary --output-type binary "$1" 2>&1 >"$2" </dev/null) ||
		fail "cannot decrypt the secret $name with the key $key: $message"
}

# restart_later UNIT… notes units for the switch.
restart_later() {
	mkdir -p "${restart_list%/*}"
	printf '%s\n' "$@" >>"$restart_list"
}

# The same content, mode and owner in both generations.
same() {
	[ -f "$1" ] && [ "$(stat -c '%a %u %g' "$1")" = "$(stat -c '%a %u %g' "$2")" ] &&
		[ "$(sha256sum <"$1")" = "$(sha256sum <"$2")" ]
}

if [ -L "$place" ]; then
	current=$(readlink "$place")
	[ -d "$current" ] || current=
elif [ -e "$place" ]; then
	fail "$place is not a link to secrets that were installed here; move it away"
fi

if [ ! -r "$key" ]; then
	IFS=$tab read -r name _ <"$manifest"
	fail "cannot decrypt the secret $name: the key of this machine, $key, is missing; put it there with \`fleet host bootstrap $machine\`"
fi

prepare_store

number=0
[ -z "$current" ] || number=${current##*/}
trap cleanup EXIT
trap 'exit 130' HUP INT TERM
next=$store/$((number + 1))
rm -rf "$next"
mkdir -m 0700 "$next"

changed=
restart=
while IFS=$tab read -r name source mode owner group units; do
	decrypt "$source" "$next/$name"
	chown "$owner:$group" "$next/$name" ||
		fail "the secret $name cannot belong to $owner:$group: this machine has no such user or group"
	chmod "$mode" "$next/$name"
	if [ -z "$current" ] || ! same "$current/$name" "$next/$name"; then
		changed=yes
		restart="$restart,$units"
	fi
done <"$manifest"

if [ -n "$changed" ] || [ "$(ls -A "$current")" != "$(ls -A "$next")" ]; then
	# With nothing there before, the system is booting and starts its units anyway.
	units=$([ -z "$current" ] || echo "$restart" | tr ',' '\n' | sort -u)
	# Noted first: a restart too many does no harm, one too few does.
	# shellcheck disable=SC2086 # units are words
	[ -z "$units" ] || [ -n "${FLEET_RESTART-}" ] || restart_later $units
	chmod 0751 "$next"
	ln -sfn "$next" "$place.new"
	mv -fT "$place.new" "$place"
	current=$next
	next=
	# shellcheck disable=SC2086
	[ -z "$units" ] || [ -z "${FLEET_RESTART-}" ] || systemctl try-restart --no-block -- $units ||
		say "warning: not all of these could be restarted:" $units
fi

for generation in "$store"/*; do
	[ "$generation" = "$current" ] || rm -rf "$generation"
done
