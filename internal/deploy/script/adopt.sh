# Prints the plan of a deploy and its name, as NAME=VALUE lines; nothing if there
# is none.
# $1: the deploy's name; empty for the one under way, or else the last
# shellcheck disable=SC2154 # state is from the prelude
under_way
id=${1:-$under}
[ -n "$id" ] || id=$(for dir in "$state"/[0-9]*; do echo "${dir##*/}"; done | sort | tail -n 1)
! whole "$id" || { echo "id=$id"; cat "$state/$id/plan"; }
