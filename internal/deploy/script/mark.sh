# Notes that the activation of a system has begun here, for whoever comes after a
# driver that was killed; without a system, that it has ended. A reboot forgets
# it: what it brings up is one system as a whole.
# $1: the system, or nothing
# shellcheck disable=SC2154 # run, the folder /run, is from the prelude
note=$run/fleet-activating
umask 022
if [ -n "$1" ]; then echo "$1" >"$note.new" && mv -f "$note.new" "$note"; else rm -f "$note"; fi
