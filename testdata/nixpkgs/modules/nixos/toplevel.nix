{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.system;
  inherit (lib) mkOption types;

  script =
    file:
    lib.replaceStrings
      [ "@busybox@" "@util-linux@" "@preSwitchChecks@" ]
      [ "${pkgs.busybox}" "${pkgs.util-linux}" "${cfg.build.preSwitchChecks}" ]
      (builtins.readFile file);
in
{
  options.system = {
    stateVersion = mkOption {
      type = types.str;
      default = lib.trivial.release;
      example = "25.05";
      description = "The release whose data the machine holds.";
    };
    name = mkOption {
      type = types.str;
      default = if config.networking.hostName == "" then "unnamed" else config.networking.hostName;
      defaultText = lib.literalExpression "config.networking.hostName";
      description = "The system's name in its store path.";
    };
    nixos = {
      release = mkOption {
        type = types.str;
        default = lib.trivial.release;
        readOnly = true;
        description = "The release of these modules.";
      };
      version = mkOption {
        type = types.str;
        default = lib.trivial.version;
        internal = true;
        description = "The version of these modules.";
      };
      label = mkOption {
        type = types.strMatching "[a-zA-Z0-9:_.-]*";
        default = cfg.nixos.version;
        defaultText = lib.literalExpression "config.system.nixos.version";
        description = "The system's label in its store path and boot menu.";
      };
      tags = mkOption {
        type = types.listOf types.str;
        default = [ ];
        description = "Parts of the label; accepted.";
      };
    };
  };

  config.system.build.toplevel = cfg.build.checked (
    pkgs.stdenv.mkDerivation {
      name = "nixos-system-${cfg.name}-${cfg.nixos.label}";
      inherit (cfg.build) activate dryActivate;
      switch = script ./switch-to-configuration.sh;
      init = ''
        #!${pkgs.busybox}/bin/sh
        exec @out@/bin/switch-to-configuration init
      '';
      passAsFile = [
        "activate"
        "dryActivate"
        "switch"
        "init"
      ];
      hostSystem = config.nixpkgs.hostPlatform.system;
      inherit (cfg.nixos) label;
      buildCommand = ''
        mkdir -p "$out/bin"
        install() {
          sed "s|@out@|$out|g" "$1" >"$out/$2"
          chmod +x "$out/$2"
        }
        install "$activatePath" activate
        install "$dryActivatePath" dry-activate
        install "$switchPath" bin/switch-to-configuration
        install "$initPath" init
        ln -s ${cfg.build.etc}/etc "$out/etc"
        ln -s ${cfg.path} "$out/sw"
        if [ -e "$out/etc/systemd/system" ]; then
          ln -s "$(readlink -f "$out/etc/systemd/system")" "$out/systemd"
        else
          mkdir "$out/systemd"
        fi
        printf %s "$label" >"$out/nixos-version"
        printf %s "$hostSystem" >"$out/system"
        printf %s "systemd 1" >"$out/init-interface-version"
        ${cfg.systemBuilderCommands}
      '';
      passthru = { inherit config; };
    }
  );
}
