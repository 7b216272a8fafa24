# Removes what an activation left once its end is known.
# $1: the activation's name
# shellcheck disable=SC2154 # run, the folder /run, is from the prelude
[ ! -d /run/systemd/system ] || systemctl reset-failed "fleet-activate-$1" 2>/dev/null
rm -rf "$run/fleet/$1"
