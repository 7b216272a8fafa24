# Prints the plan of a deploy and its name, as NAME=VALUE lines; nothing if there
# is none.
# $1: the deploy's name; empty for the one under way, or else the last
# shellcheck disable=SC2154 # state is from the prelude
under_way
id=${1:-$under}
if [ -z "$id" ]; then
  # shellcheck disable=SC2012 # the names are ours, and have the times of different drivers
  id=$(ls -td "$state"/[0-9]* 2>/dev/null | head -n 1)
  id=${id##*/}
fi
! whole "$id" || { echo "id=$id"; cat "$state/$id/plan"; }
