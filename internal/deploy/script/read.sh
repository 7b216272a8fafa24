# Prints the beginning of a file.
# $1: the file, $2: how many bytes
set -eu
head -c "$2" "$1"
