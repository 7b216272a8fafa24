# Lists the generations of the system profile, and what the machine is at, as
# NAME=VALUE lines; changes nothing. What follows a generation is about it. No
# program of a system is run for that.
say() { printf '%s=%s\n' "$1" "$2"; }

say os "$(uname -s)"
say system "$(readlink /run/current-system)"
say booted "$(readlink /run/booted-system)"
say profile "$(readlink /nix/var/nix/profiles/system)"
for link in /nix/var/nix/profiles/system-*-link; do
  system=$(readlink "$link") || continue
  say generation "$link"
  say out "$system"
  [ -e "$system" ] || say gone yes
  say created "$(stat -c %Y "$link" 2>/dev/null || stat -f %m "$link")"
  version=
  for file in nixos-version darwin-version; do
    [ ! -r "$system/$file" ] || IFS= read -r version <"$system/$file" || : # the end of the file
  done
  say version "$version"
  for file in sw/bin/nixos-version darwin-version.json; do
    [ ! -r "$system/$file" ] || sed -n 's/.*"configurationRevision" *: *"\([^"]*\)".*/revision=\1/p' "$system/$file"
  done
done
