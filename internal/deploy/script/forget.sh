# Removes what an activation left once its end is known.
# $1: the activation's name
[ ! -d /run/systemd/system ] || systemctl reset-failed "fleet-activate-$1" 2>/dev/null
rm -rf "/run/fleet/$1"
