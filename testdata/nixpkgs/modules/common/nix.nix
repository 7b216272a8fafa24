{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.nix;
  show =
    v:
    if builtins.isBool v then
      lib.boolToString v
    else if builtins.isList v then
      lib.concatMapStringsSep " " toString v
    else
      toString v;
in
{
  options.nix = {
    enable = lib.mkOption {
      type = lib.types.bool;
      default = true;
      example = false;
      description = "Whether Nix's settings are ours.";
    };
    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.nix;
      defaultText = lib.literalExpression "pkgs.nix";
      description = "The package of Nix.";
    };
    settings = lib.mkOption {
      type = lib.types.submodule {
        freeformType = lib.types.attrsOf lib.types.anything;
      };
      default = { };
      example = {
        experimental-features = [
          "nix-command"
          "flakes"
        ];
      };
      description = "Lines of /etc/nix/nix.conf; none is written where there are no settings.";
    };
    extraOptions = lib.mkOption {
      type = lib.types.lines;
      default = "";
      description = "More lines of it.";
    };
    gc = lib.mkOption {
      type = lib.types.attrsOf lib.types.anything;
      default = { };
      example = {
        automatic = true;
      };
      description = "Garbage collection; accepted.";
    };
    optimise = lib.mkOption {
      type = lib.types.attrsOf lib.types.anything;
      default = { };
      description = "Store optimisation; accepted.";
    };
    registry = lib.mkOption {
      type = lib.types.attrsOf lib.types.anything;
      default = { };
      description = "Flake registry; accepted.";
    };
    nixPath = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      description = "NIX_PATH; accepted.";
    };
  };

  config.environment.etc."nix/nix.conf" = lib.mkIf (
    cfg.enable && (cfg.settings != { } || cfg.extraOptions != "")
  ) {
    text =
      lib.concatStrings (lib.mapAttrsToList (n: v: "${n} = ${show v}\n") cfg.settings)
      + cfg.extraOptions;
  };
}
