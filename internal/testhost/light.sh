# The first process of a light host: builds the host's view of the file system
# out of its disk, enters it, starts sshd and buries the dead.
#
#   init DISK NAME SHOWN…    SHOWN are folders of the driver's machine that the
#                            host may read, at their own paths
set -eu
disk=$1 name=$2
shift 2

b=/bin/busybox
$b hostname "$name"
$b mount --make-rprivate /
$b mount --rbind "$disk" "$disk"

for dir in bin sbin lib lib32 lib64 libx32; do # links into /usr on every Debian since 12
  if [ -L "/$dir" ] && [ ! -L "$disk/$dir" ]; then $b cp -P "/$dir" "$disk/$dir"; fi
done

$b mkdir -p "$disk/dev" "$disk/proc" "$disk/run" "$disk/tmp"
$b mount -t tmpfs -o mode=755,size=64m fleet-testhost "$disk/run"
$b mount -t tmpfs -o mode=1777,size=1g fleet-testhost "$disk/tmp"
$b mount -t tmpfs -o mode=755,size=1m fleet-testhost "$disk/dev"
# After /tmp, which the project itself may lie in.
for shown in "$@"; do
  $b mkdir -p "$disk$shown"
  $b mount --bind "$shown" "$disk$shown"
  $b mount -o remount,bind,ro "$disk$shown"
done
$b mkdir -p "$disk/dev/pts" "$disk/dev/shm" "$disk/run/sshd" "$disk/run/driver"
$b mount -t devpts -o newinstance,ptmxmode=666 fleet-testhost "$disk/dev/pts"
$b mount -t tmpfs -o mode=1777,size=64m fleet-testhost "$disk/dev/shm"
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
  IFS=: read -r node major minor <<<"$node"
  $b mknod -m 666 "$disk/dev/$node" c "$major" "$minor"
done
$b ln -s pts/ptmx "$disk/dev/ptmx"
for link in fd:/proc/self/fd stdin:/proc/self/fd/0 stdout:/proc/self/fd/1 stderr:/proc/self/fd/2; do
  $b ln -s "${link#*:}" "$disk/dev/${link%%:*}"
done
$b mount -t proc fleet-testhost "$disk/proc"
$b mount --bind "$disk/proc/sys" "$disk/proc/sys" # the kernel's settings belong to the driver's machine
$b mount -o remount,bind,ro "$disk/proc/sys"

cd "$disk"
$b pivot_root . run/driver
cd /
$b umount -l /run/driver
$b rmdir /run/driver

# shellcheck disable=SC1091 # of the kinds of hosts that have more to prepare
[ ! -e /etc/rc.sh ] || . /etc/rc.sh
/usr/sbin/sshd
$b mkfifo /run/never
while :; do read -r _ <>/run/never || :; done # bash reaps whatever ends meanwhile
