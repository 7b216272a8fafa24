# Starts the supervisor of the deploy that is under way, unless there is none or
# it runs. Used at the beginning of a deploy, at boot, and by whoever finds a
# deploy without its supervisor.
# shellcheck disable=SC2154 # run and state are from the prelude
under_way
id=$under
[ -n "$id" ] || exit 0
dir=$state/$id
if [ -d /run/systemd/system ]; then
  unit=fleet-activate-$id
  runs() { case $(systemctl show --property=ActiveState --value "$unit") in active | activating | reloading | deactivating) ;; *) return 1 ;; esac }
  ! runs || exit 0
  systemctl reset-failed "$unit" 2>/dev/null
  # Should the supervisor be killed, systemd starts it again, which goes back.
  systemd-run --quiet --no-ask-password --collect --service-type=exec --unit="$unit" \
    --description="fleet activates $plan_out" \
    --setenv=PATH="$PATH" ${LOCALE_ARCHIVE:+"--setenv=LOCALE_ARCHIVE=$LOCALE_ARCHIVE"} \
    --property=StandardOutput=journal --property=StandardError=journal --property=LogRateLimitIntervalSec=0 \
    --property=Restart=on-failure --property=RestartSec=100ms --property=StartLimitIntervalSec=0 \
    --property=IgnoreOnIsolate=yes --property=OOMScoreAdjust=-500 \
    /bin/sh "$dir/supervise" "$dir" </dev/null || runs # another may have been faster
  exit
fi
# The file names the supervisor, and until there is one whoever starts it.
file=$run/fleet/$id.pid
[ -d "$run/fleet" ] || (umask 077 && mkdir -p "$run/fleet")
first pid "$file"
if [ -n "$pid" ]; then
  ! kill -0 "$pid" 2>/dev/null || exit 0
  rm -f "$file"
fi
echo $$ >"$file.$$"
ln "$file.$$" "$file" 2>/dev/null || { rm -f "$file.$$"; exit 0; } # another was faster
rm -f "$file.$$"
if command -v setsid >/dev/null; then
  setsid /bin/sh "$dir/supervise" "$dir" </dev/null >>"$dir/log" 2>&1 &
else
  # Not by nohup: that of a Mac does nothing where launchd has started it.
  (trap '' HUP && exec /bin/sh "$dir/supervise" "$dir") </dev/null >>"$dir/log" 2>&1 &
fi
pid=$!
echo "$pid" >"$file.$$" && mv -f "$file.$$" "$file"
under_way
[ "$under" = "$id" ] || rm -f "$file" # it has ended already
# A laptop stays awake meanwhile, whether it has mains power or not.
if command -v caffeinate >/dev/null; then
  caffeinate -i -s -w "$pid" </dev/null >/dev/null 2>&1 & # nothing of ours may keep the connection's output
fi
