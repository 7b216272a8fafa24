# Goes into the host's cgroups and becomes systemd-nspawn there: hosts that
# shared one would see each other's units.
#
#   full CGROUP… -- COMMAND…
set -eu
while [ "$1" != -- ]; do
  echo $$ >"$1/cgroup.procs"
  shift
done
shift
exec "$@"
