# Which packages a machine is made of. `nixpkgs` is a special argument of both
# system functions: the folder that this file is in.
{
  config,
  lib,
  nixpkgs,
  ...
}:
let
  cfg = config.nixpkgs;
in
{
  options.nixpkgs = {
    hostPlatform = lib.mkOption {
      type = lib.types.either lib.types.str lib.types.attrs;
      example = "aarch64-linux";
      apply = lib.systems.elaborate;
      description = "The system that the machine is.";
    };
    buildPlatform = lib.mkOption {
      type = lib.types.either lib.types.str lib.types.attrs;
      default = import (nixpkgs + "/platform.nix");
      example = "aarch64-linux";
      apply = lib.systems.elaborate;
      description = "The system that builds the machine's packages.";
    };
    system = lib.mkOption {
      type = lib.types.str;
      default = cfg.hostPlatform.system;
      defaultText = lib.literalExpression "config.nixpkgs.hostPlatform.system";
      description = "The machine's system, as old configurations name it.";
    };
    pkgs = lib.mkOption {
      type = lib.types.pkgs;
      default = import (nixpkgs + "/pkgs") {
        inherit lib;
        inherit (cfg.hostPlatform) system;
        buildPlatform = cfg.buildPlatform.system;
        inherit (cfg) overlays config;
        inherit (nixpkgs.inputs) tools;
      };
      defaultText = lib.literalExpression "import <nixpkgs> { … }";
      description = "The packages; overlays and config do not reach one given here.";
    };
    overlays = lib.mkOption {
      type = lib.types.listOf (
        lib.mkOptionType {
          name = "nixpkgs-overlay";
          description = "nixpkgs overlay";
          check = lib.isFunction;
          merge = lib.mergeOneOption;
        }
      );
      default = [ ];
      example = lib.literalExpression "[ (final: prev: { hello = prev.hello; }) ]";
      description = "Changes to the packages, in this order.";
    };
    config = lib.mkOption {
      type = lib.types.attrsOf lib.types.anything;
      default = { };
      example = {
        allowUnfree = true;
      };
      description = "Settings of nixpkgs; kept in pkgs.config.";
    };
    flake.source = lib.mkOption {
      type = lib.types.unspecified;
      default = null;
      description = "Where the flake registry finds nixpkgs; accepted.";
    };
  };

  config._module.args.pkgs = cfg.pkgs;
}
