# What is made of this tells of a system in lines NAME=VALUE; a line file=PATH comes
# before those of that file, each after a space.
say() { printf '%s=%s\n' "$1" "$2"; }
say os "$(uname -s)"

# tell_closure SYSTEM: the paths that it needs, and their sizes.
tell_closure() {
  paths=$(nix-store --query --requisites "$1") && sizes=$(printf '%s\n' "$paths" | xargs nix-store --query --size) || exit 1
  printf '%s\n' "$paths" | sed 's/^/path=/'
  printf '%s\n' "$sizes" | sed 's/^/size=/'
}

# tell_parts NAME SYSTEM: where the parts are that only a boot changes.
tell_parts() {
  for part in kernel initrd kernel-modules; do
    [ ! -e "$2/$part" ] || say "$1" "$part $(readlink -f "$2/$part")"
  done
}

# tell_files SYSTEM: the files that say what runs there, or wants a reboot.
tell_files() (
  cd "$1/etc/systemd/system" 2>/dev/null &&
    for unit in * *.d/* *.wants/* *.requires/* *.upholds/*; do say unit "$unit"; done
  cd "$1" || exit 1
  set --
  for file in init-interface-version switch-inhibitors etc/fstab etc/systemd/system/* etc/systemd/system/*.d/*.conf \
    Library/LaunchDaemons/* Library/LaunchAgents/* user/Library/LaunchAgents/*; do
    [ ! -f "$file" ] || set -- "$@" "./$file"
  done
  [ $# -eq 0 ] || awk 'BEGIN {
    for (i = 1; i < ARGC; i++) {
      print "file=" substr(ARGV[i], 3)
      while ((getline line <ARGV[i]) > 0) print " " line
      close(ARGV[i])
    }
  }' "$@"
)
