# Makes a system the machine's newest generation.
# $1: the system's store path
set -eu
nix-env --profile /nix/var/nix/profiles/system --set "$1"
