# Puts stdin in place as a file that only root can read, in a folder that only
# root can enter, atomically and on the disk before its name changes.
# $1: the file, $2: its size, for a connection that breaks looks like the end of stdin
set -eu
umask 077
dir=${1%/*}
new=$dir/.${1##*/}.new
(umask 022 && mkdir -p "${dir%/*}")
mkdir -p "$dir"
chmod 700 "$dir"
[ ! -d "$1" ] || { echo "$1 is a directory" >&2; exit 1; }
rm -f "$new"
trap 'rm -f "$new"' EXIT
trap 'exit 1' HUP TERM PIPE # which not every shell would take for an exit
cat >"$new"
size=$(wc -c <"$new")
[ "$size" -eq "$2" ] || { echo "only $size of $2 bytes arrived" >&2; exit 1; }
sync
mv -f "$new" "$1"
trap - EXIT
sync
