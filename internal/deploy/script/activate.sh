# Starts an activation that depends on nobody: a transient unit where there is
# systemd, a session of its own elsewhere. Prints how it can be watched.
# $1: the activation's name, $2: the system's store path, then the command
# shellcheck disable=SC2154 # run, the folder /run, is from the prelude
set -eu
umask 077
id=$1 out=$2
shift 2
dir=$run/fleet/$id
mkdir -p "$run/fleet"
chmod 700 "$run/fleet"
mkdir "$dir"

# The program that outlives us: it says in files that the activation is under
# way and how it ended.
cat >"$dir/run" <<'RUN'
dir=$1 out=$2
marker=${dir%/*}/activating
shift 2
printf '%s\n' "$out" >"$marker.new"
mv -f "$marker.new" "$marker"
cd /
umask 022
"$@"
code=$?
[ "$code" -ne 0 ] || rm -f "$marker"
echo "$code" >"$dir/status.new"
mv -f "$dir/status.new" "$dir/status"
exit "$code"
RUN

if [ -d /run/systemd/system ]; then
  systemd-run --quiet --no-ask-password --service-type=exec --unit="fleet-activate-$id" \
    --description="fleet activates $out" --setenv=PATH="$PATH" ${LOCALE_ARCHIVE:+"--setenv=LOCALE_ARCHIVE=$LOCALE_ARCHIVE"} \
    --property=StandardOutput=journal --property=StandardError=journal \
    /bin/sh "$dir/run" "$dir" "$out" "$@" </dev/null
elif command -v setsid >/dev/null; then
  setsid /bin/sh "$dir/run" "$dir" "$out" "$@" </dev/null >"$dir/log" 2>&1 &
  echo $! >"$dir/pid"
else
  nohup /bin/sh "$dir/run" "$dir" "$out" "$@" </dev/null >"$dir/log" 2>&1 &
  echo $! >"$dir/pid"
fi
