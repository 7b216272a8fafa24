# Part of light.sh on a host that stands for a Mac, before its sshd starts: the
# programs of the driver's machine go to /opt/linux, and in their place come those
# that a Mac has.
# shellcheck shell=bash
for dir in bin sbin; do
  $b mkdir -p "/opt/linux/$dir" /opt/mac/none
  $b mount --bind "/usr/$dir" "/opt/linux/$dir"
  b=/opt/linux/bin/busybox
  [ ! -d "/usr/local/$dir" ] || $b mount --bind /opt/mac/none "/usr/local/$dir"
  $b mount --bind "/opt/mac/$dir" "/usr/$dir"
done

# A daemon of nix-darwin leads /run/current-system to the profile's system at
# boot. The volume with /nix is mounted when launchd has already begun to start
# daemons.
if system=$($b readlink -f /nix/var/nix/profiles/system) && [ -e "$system" ]; then
  $b ln -s "$system" /run/current-system
  $b mount -t tmpfs fleet-testhost /nix
  { $b sleep 1 && $b umount -l /nix; } &
fi
for plist in /Library/LaunchDaemons/*.plist; do
  [ ! -e "$plist" ] || /opt/mac/launchd "$plist" &
done
