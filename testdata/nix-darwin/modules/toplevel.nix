{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.system;
  inherit (lib) mkOption types;

  # Knows its system by the path that it is called by: TOPLEVEL/sw/bin/….
  darwin-rebuild = pkgs.writeShellScriptBin "darwin-rebuild" ''
    set -eu
    systemConfig=$(${pkgs.coreutils}/bin/readlink -f "''${0%/sw/bin/darwin-rebuild}")
    case ''${1-} in
    activate)
      if [ "$(${pkgs.coreutils}/bin/id -u)" != 0 ]; then
        echo "$0: system activation must now be run as root" >&2
        exit 1
      fi
      exec "$systemConfig/activate"
      ;;
    *)
      echo "usage: $0 activate (the offline nix-darwin knows nothing else)" >&2
      exit 1
      ;;
    esac
  '';
in
{
  options.system = {
    stateVersion = mkOption {
      type = types.nullOr (types.ints.between 1 99);
      default = null;
      example = 6;
      description = "The version of nix-darwin whose data the machine holds.";
    };
    darwinLabel = mkOption {
      type = types.str;
      default = lib.trivial.version;
      description = "The system's label in its store path.";
    };
    darwinRelease = mkOption {
      type = types.str;
      default = lib.trivial.release;
      internal = true;
      description = "The release of these modules.";
    };
    profile = mkOption {
      type = types.path;
      default = "/nix/var/nix/profiles/system";
      description = "The system's profile.";
    };
    tools.enable = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = "Whether the system has darwin-rebuild.";
    };
  };

  config = {
    environment.systemPackages = lib.mkIf cfg.tools.enable [ darwin-rebuild ];
    system.build.toplevel = cfg.build.checked (
      pkgs.stdenv.mkDerivation {
        name = "darwin-system-${cfg.darwinLabel}";
        activate = cfg.activationScripts.script.text;
        passAsFile = [ "activate" ];
        label = cfg.darwinLabel;
        hostSystem = config.nixpkgs.hostPlatform.system;
        versionJson = builtins.toJSON (
          lib.filterAttrs (_: v: v != null) {
            inherit (cfg) darwinLabel configurationRevision;
          }
        );
        buildCommand = ''
          mkdir -p "$out/Library" "$out/user/Library"
          sed "s|@out@|$out|g" "$activatePath" >"$out/activate"
          chmod +x "$out/activate"
          ln -s ${cfg.build.etc}/etc "$out/etc"
          ln -s ${cfg.path} "$out/sw"
          for folder in Library/LaunchDaemons Library/LaunchAgents user/Library/LaunchAgents; do
            if [ -e "${cfg.build.launchd}/$folder" ]; then
              ln -s "${cfg.build.launchd}/$folder" "$out/$folder"
            else
              mkdir "$out/$folder"
            fi
          done
          printf %s "$out" >"$out/systemConfig"
          printf %s "$label" >"$out/darwin-version"
          printf %s "$versionJson" >"$out/darwin-version.json"
          printf %s "$hostSystem" >"$out/system"
          ${cfg.systemBuilderCommands}
        '';
      }
    );
  };
}
