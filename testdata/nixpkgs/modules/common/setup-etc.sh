#!@busybox@/bin/sh
# The interpreter is filled in.
# shellcheck disable=SC2239
# setup-etc TREE: makes /etc show TREE. /etc/static points at it and every file
# of it is reached through a link /etc/NAME -> /etc/static/NAME; files with a
# mode are copied and noted in /etc/.clean. What neither this nor an earlier run
# made is left alone, except where TREE names it.
set -eu
PATH=@busybox@/bin
tree=$1

mkdir -p /etc
ln -sfn "$tree" /etc/.static.new
mv -T /etc/.static.new /etc/static

# Links of earlier runs whose file is gone.
find /etc -xdev -type l | while read -r link; do
	case $(readlink "$link") in
	/etc/static/*)
		[ -L "/etc/static${link#/etc}" ] || [ -e "/etc/static${link#/etc}" ] || rm -f "$link"
		;;
	esac
done
# Copies of earlier runs whose file is gone or is a link now.
touch /etc/.clean
while read -r name; do
	[ -e "/etc/static/$name.copy" ] || rm -f "/etc/$name"
done </etc/.clean

cd "$tree"
: >/etc/.clean.new
find . -type l | sort | while read -r file; do
	name=${file#./}
	target=/etc/$name
	mkdir -p "${target%/*}"
	if [ -d "$target" ] && [ ! -L "$target" ]; then
		echo "setup-etc: $target is a folder, not replaced" >&2
	elif [ -e "$name.copy" ]; then
		read -r mode user group <"$name.copy"
		cp -L "$name" "$target.tmp"
		chmod "$mode" "$target.tmp"
		chown "${user#+}:${group#+}" "$target.tmp"
		mv -T "$target.tmp" "$target"
		echo "$name" >>/etc/.clean.new
	elif [ "$(readlink "$target" || true)" != "/etc/static/$name" ]; then
		ln -sfn "/etc/static/$name" "$target.tmp"
		mv -T "$target.tmp" "$target"
	fi
done
mv -T /etc/.clean.new /etc/.clean
