# /etc: one tree in the store, and the script that brings it into a machine.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  entries = lib.filter (e: e.enable) (lib.attrValues config.environment.etc);
in
{
  options.environment.etc = lib.mkOption {
    default = { };
    example = lib.literalExpression ''{ "motd".text = "hello"; }'';
    description = "Files below /etc.";
    type = lib.types.attrsOf (
      lib.types.submodule (
        {
          name,
          config,
          options,
          ...
        }:
        {
          options = {
            enable = lib.mkOption {
              type = lib.types.bool;
              default = true;
              example = false;
              description = "Whether the file is made.";
            };
            target = lib.mkOption {
              type = lib.types.str;
              default = name;
              defaultText = "the attribute's name";
              example = "ssh/sshd_config";
              description = "Its path below /etc.";
            };
            text = lib.mkOption {
              type = lib.types.nullOr lib.types.lines;
              default = null;
              example = "hello\n";
              description = "Its text.";
            };
            source = lib.mkOption {
              type = lib.types.path;
              example = lib.literalExpression "./motd";
              description = "The file or folder itself.";
            };
            mode = lib.mkOption {
              type = lib.types.str;
              default = "symlink";
              example = "0600";
              description = "`symlink`, or the mode of a copy.";
            };
            user = lib.mkOption {
              type = lib.types.str;
              default = "+0";
              example = "nobody";
              description = "The owner of a copy, by name or as +UID.";
            };
            group = lib.mkOption {
              type = lib.types.str;
              default = "+0";
              example = "nogroup";
              description = "The group of a copy, by name or as +GID.";
            };
            uid = lib.mkOption {
              type = lib.types.int;
              default = 0;
              description = "The owner of a copy.";
            };
            gid = lib.mkOption {
              type = lib.types.int;
              default = 0;
              description = "The group of a copy.";
            };
            copy = lib.mkOption {
              type = lib.types.bool;
              default = false;
              description = "Whether nix-darwin copies the file; here as mode 0444.";
            };
            knownSha256Hashes = lib.mkOption {
              type = lib.types.listOf lib.types.str;
              default = [ ];
              description = "Contents that may be replaced on darwin.";
            };
          };
          config = {
            source = lib.mkIf (config.text != null) (
              lib.mkDerivedConfig options.text (
                pkgs.writeText "etc-${lib.replaceStrings [ "/" ] [ "-" ] (baseNameOf config.target)}"
              )
            );
            user = lib.mkIf (config.uid != 0) (lib.mkDefault "+${toString config.uid}");
            group = lib.mkIf (config.gid != 0) (lib.mkDefault "+${toString config.gid}");
            mode = lib.mkIf config.copy (lib.mkDefault "0444");
          };
        }
      )
    );
  };

  config.system.build.etc = pkgs.runCommand "etc" { } ''
    mkdir -p "$out/etc"
    place() {
      target=$out/etc/$1
      mkdir -p "''${target%/*}"
      if [ -e "$target" ] && [ "$(readlink "$target")" != "$2" ]; then
        echo "environment.etc: two files want to be /etc/$1" >&2
        exit 1
      fi
      ln -sfn "$2" "$target"
      if [ "$3" != symlink ]; then
        printf '%s %s %s\n' "$3" "$4" "$5" >"$target.copy"
      fi
    }
    ${lib.concatMapStrings (e: ''
      place ${
        lib.escapeShellArgs [
          e.target
          "${e.source}"
          e.mode
          e.user
          e.group
        ]
      }
    '') entries}
  '';
  # What the activation of both classes runs with the tree as its argument.
  config.system.build.setupEtc = pkgs.writeScript "setup-etc" (
    lib.replaceStrings [ "@busybox@" ] [ "${pkgs.busybox}" ] (builtins.readFile ./setup-etc.sh)
  );
}
