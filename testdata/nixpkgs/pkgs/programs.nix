# The programs: applets of busybox, copies from the host, and stand-ins.
{ tools }:
final: prev:
let
  inherit (final) lib;

  # A derivation whose builder is the host's busybox: the first ones, that
  # everything else is built with.
  fromBusybox =
    name: meta: script:
    let
      drv = derivation {
        inherit name;
        system = final.stdenv.buildPlatform.system;
        builder = "/bin/busybox";
        args = [
          "sh"
          "-e"
          "-c"
          ''
            PATH=/nonexistent
            for applet in cp ln mkdir; do
              alias $applet="/bin/busybox $applet"
            done
            ${script}
          ''
        ];
      };
    in
    drv
    // {
      pname = name;
      version = "1";
      meta = {
        inherit name;
      }
      // meta;
    };

  # The same programs under several names of nixpkgs.
  applets =
    name: mainProgram:
    final.busybox
    // {
      pname = name;
      meta = {
        inherit name mainProgram;
      };
    };

  # Dynamic programs of the host, with loader and libraries, so that they run
  # where nothing but the store is. `before` runs ahead of each of them.
  fromHost =
    {
      pname,
      programs,
      mainProgram,
      before ? "",
    }:
    final.runCommand pname
      {
        inherit before;
        inherit pname;
        version = "1";
        meta = { inherit mainProgram; };
      }
      ''
        mkdir -p "$out/bin" "$out/lib" "$out/libexec"
        for loader in /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1; do
          [ ! -e "$loader" ] || break
        done
        for name in ${toString programs}; do
          for dir in /usr/bin /bin /usr/sbin /sbin; do
            [ ! -x "$dir/$name" ] || break
          done
          if [ ! -x "$dir/$name" ]; then
            echo "${pname}: the program $name is not on this host" >&2
            exit 1
          fi
          cp "$dir/$name" "$out/libexec/$name"
          "$loader" --list "$dir/$name" | while read -r lib arrow path rest; do
            case $arrow in
            '=>') [ -e "$out/lib/$lib" ] || cp -L "$path" "$out/lib/$lib" ;;
            esac
          done
          [ -e "$out/lib/ld.so" ] || cp -L "$loader" "$out/lib/ld.so"
          {
            echo "#!${final.busybox}/bin/sh"
            echo "$before"
            echo "exec $out/lib/ld.so --library-path $out/lib $out/libexec/$name \"\$@\""
          } >"$out/bin/$name"
          chmod +x "$out/bin/$name"
        done
      '';

  # Something to put in systemPackages where a program's presence matters, not
  # its work.
  standIn =
    name:
    final.writeShellScriptBin name ''
      case ''${1-} in
      --version) echo "${name}, a stand-in of the offline nixpkgs" ;;
      *) exec ${final.runtimeShell} "$@" ;;
      esac
    ''
    // {
      pname = name;
      shellPath = "/bin/${name}";
    };
in
{
  busybox = fromBusybox "busybox" { mainProgram = "busybox"; } ''
    mkdir -p $out/bin
    cp /bin/busybox $out/bin/busybox
    for applet in $(/bin/busybox --list); do
      [ $applet = busybox ] || ln -s busybox $out/bin/$applet
    done
  '';
  bash =
    fromBusybox "bash" { mainProgram = "bash"; } ''
      mkdir -p $out/bin
      cp /bin/bash-static $out/bin/bash
      ln -s bash $out/bin/sh
    ''
    // {
      shellPath = "/bin/bash";
    };
  bashInteractive = final.bash;
  bashNonInteractive = final.bash;

  coreutils = applets "coreutils" "ls";
  gnugrep = applets "gnugrep" "grep";
  gnused = applets "gnused" "sed";
  gawk = applets "gawk" "awk";
  findutils = applets "findutils" "find";
  diffutils = applets "diffutils" "diff";
  gnutar = applets "gnutar" "tar";
  gzip = applets "gzip" "gzip";
  xxd = applets "xxd" "xxd";
  procps = applets "procps" "ps";
  hostname = applets "hostname" "hostname";
  inetutils = applets "inetutils" "hostname";

  util-linux = fromHost {
    pname = "util-linux";
    programs = [ "flock" ];
    mainProgram = "flock";
  };
  # ssh-keygen wants /dev/null and asks who runs it; the smallest of sandboxes
  # has neither.
  openssh = fromHost {
    pname = "openssh";
    programs = [ "ssh-keygen" ];
    mainProgram = "ssh-keygen";
    before = ''
      busybox=${final.busybox}/bin/busybox
      if [ ! -e /dev/null ]; then
        $busybox mkdir -p /dev
        $busybox mknod -m 666 /dev/null c 1 3
      fi
      if [ ! -e /etc/passwd ]; then
        $busybox mkdir -p /etc
        echo "root:x:$($busybox id -u):$($busybox id -g)::/:/bin/sh" >/etc/passwd
      fi
    '';
  };

  sops =
    final.runCommand "sops"
      {
        pname = "sops";
        version = "3";
        meta.mainProgram = "sops";
      }
      ''
        program=${tools}/sops
        [ -e "$program" ] || program=${tools}/bin/sops
        if [ ! -e "$program" ]; then
          echo "pkgs.sops: the flake input tools holds no program sops; write inputs.nixpkgs.inputs.tools.follows" >&2
          exit 1
        fi
        mkdir -p "$out/bin"
        cp "$program" "$out/bin/sops"
        chmod +x "$out/bin/sops"
      '';

  hello =
    final.writeShellScriptBin "hello" ''
      echo "Hello, world!"
    ''
    // {
      pname = "hello";
      version = "1";
    };
  fish = standIn "fish";
  zsh = standIn "zsh";
  git = standIn "git";
  vim = standIn "vim";
  nano = standIn "nano";
  tmux = standIn "tmux";
  htop = standIn "htop";
  ripgrep = standIn "rg";
  curl = standIn "curl";
  zerotierone = standIn "zerotier-one";
  nix = standIn "nix";
}
