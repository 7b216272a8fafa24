#!@busybox@/bin/sh
# The interpreter is filled in.
# shellcheck disable=SC2239
# update-users-groups SPEC: adds the groups and users of SPEC to /etc/group,
# /etc/passwd and /etc/shadow. Accounts of the host keep their number; what an
# earlier run made and SPEC names no longer goes away, the home folder stays.
#
# SPEC has lines, "-" for nothing:
#   group:NAME:GID:MEMBER,MEMBER
#   user:NAME:UID:normal|system:GROUP:HOME:SHELL:true|false:PASSWORD FILE:HASH:DESCRIPTION
set -eu
PATH=@busybox@/bin
spec=$1
state=/var/lib/nixos

mkdir -p "$state" /etc
for file in passwd group shadow; do
	touch "/etc/$file"
done
chmod 640 /etc/shadow
touch "$state/declarative-users" "$state/declarative-groups"

# replace FILE NAME LINE: LINE (none if empty) instead of NAME's line, at its
# place or at the end.
replace() {
	NAME=$2 LINE=$3 awk -F: '
		$1 == ENVIRON["NAME"] { if (ENVIRON["LINE"] != "") print ENVIRON["LINE"]; done = 1; next }
		{ print }
		END { if (!done && ENVIRON["LINE"] != "") print ENVIRON["LINE"] }
	' "/etc/$1" >"/etc/$1.new"
	if cmp -s "/etc/$1.new" "/etc/$1"; then
		rm "/etc/$1.new"
	else
		chmod "$(stat -c %a "/etc/$1")" "/etc/$1.new"
		chown "$(stat -c %u:%g "/etc/$1")" "/etc/$1.new"
		mv "/etc/$1.new" "/etc/$1"
	fi
}
# field FILE NAME N: the Nth field of NAME's line.
field() {
	awk -F: -v name="$2" -v n="$3" '$1 == name { print $n; exit }' "/etc/$1"
}
# free FILE FIRST LAST: a number that nobody has.
free() {
	awk -F: -v first="$2" -v last="$3" '
		{ taken[$3] = 1 }
		END {
			step = first < last ? 1 : -1
			for (i = first; i != last; i += step) if (!(i in taken)) { print i; exit }
		}
	' "/etc/$1"
}
or() { if [ -z "$1" ] || [ "$1" = - ]; then printf %s "$2"; else printf %s "$1"; fi; }

# Accounts of earlier runs that are wanted no longer.
while read -r name; do
	if ! grep -q "^user:$name:" "$spec"; then
		replace passwd "$name" ""
		replace shadow "$name" ""
	fi
done <"$state/declarative-users"
while read -r name; do
	grep -q "^group:$name:" "$spec" || replace group "$name" ""
done <"$state/declarative-groups"

grep '^group:' "$spec" | while IFS=: read -r _ name gid members; do
	old=$(field group "$name" 3)
	if [ -z "$old" ]; then
		grep -qx "$name" "$state/declarative-groups" || echo "$name" >>"$state/declarative-groups"
	fi
	gid=$(or "$old" "$(or "$gid" "$(free group 999 400)")")
	# Members that the host added stay.
	all=$(printf '%s,%s' "$(field group "$name" 4)" "$(or "$members" "")" |
		tr , '\n' | awk 'NF && !seen[$0]++' | paste -sd, -)
	replace group "$name" "$name:x:$gid:$all"
done

grep '^user:' "$spec" | while IFS=: read -r _ name uid kind group home shell create passwordFile hash description; do
	old=$(field passwd "$name" 3)
	owned=1
	if [ -z "$old" ]; then
		grep -qx "$name" "$state/declarative-users" || echo "$name" >>"$state/declarative-users"
	elif ! grep -qx "$name" "$state/declarative-users"; then
		owned=
	fi
	if [ "$kind" = normal ]; then
		uid=$(or "$old" "$(or "$uid" "$(free passwd 1000 30000)")")
	else
		uid=$(or "$old" "$(or "$uid" "$(free passwd 999 400)")")
	fi
	gid=$(field group "$group" 3)
	if [ -z "$gid" ]; then
		case $group in
		*[!0-9]*)
			echo "update-users-groups: user $name: there is no group $group" >&2
			exit 1
			;;
		esac
		gid=$group
	fi
	if [ -n "$owned" ]; then
		[ "$description" != - ] || description=
		shell=$(or "$shell" /bin/sh)
	else
		# The host's own account: only what is said takes effect.
		description=$(or "$description" "$(field passwd "$name" 5)")
		shell=$(or "$shell" "$(field passwd "$name" 7)")
		home=$(field passwd "$name" 6)
		gid=$(field passwd "$name" 4)
	fi
	replace passwd "$name" "$name:x:$uid:$gid:$description:$home:$shell"

	if [ "$passwordFile" != - ]; then
		if [ -e "$passwordFile" ]; then
			hash=$(head -n 1 "$passwordFile")
		else
			echo "update-users-groups: user $name: the password file $passwordFile does not exist" >&2
		fi
	fi
	if [ -n "$(or "$hash" "")" ] || [ -z "$(field shadow "$name" 1)" ]; then
		replace shadow "$name" "$name:$(or "$hash" '*'):1::::::"
	fi

	if [ "$create" = true ] && [ ! -e "$home" ]; then
		mkdir -p "${home%/*}"
		mkdir -m 700 "$home"
		chown "$uid:$gid" "$home"
	fi
done

# What is wanted no longer is forgotten.
for kind in user group; do
	while read -r name; do
		if grep -q "^$kind:$name:" "$spec"; then echo "$name"; fi
	done <"$state/declarative-${kind}s" >"$state/declarative-${kind}s.new"
	mv "$state/declarative-${kind}s.new" "$state/declarative-${kind}s"
done
