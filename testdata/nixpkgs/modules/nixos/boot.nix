# What belongs to hardware and booting is accepted and does nothing: the hosts
# that we deploy to are booted by Debian.
{ lib, ... }:
let
  accepted =
    what:
    lib.mkOption {
      type = lib.types.submodule { freeformType = lib.types.attrsOf lib.types.anything; };
      default = { };
      description = "${what}; accepted.";
    };
in
{
  options = {
    boot = accepted "Boot loader and kernel";
    hardware = accepted "Hardware";
    powerManagement = accepted "Power management";
    console = accepted "The console";
    i18n = accepted "Languages";
    virtualisation = accepted "Virtual machines and containers";
    fileSystems = lib.mkOption {
      type = lib.types.attrsOf (
        lib.types.submodule { freeformType = lib.types.attrsOf lib.types.anything; }
      );
      default = { };
      example = {
        "/" = {
          device = "/dev/sda1";
          fsType = "ext4";
        };
      };
      description = "File systems; accepted.";
    };
    swapDevices = lib.mkOption {
      type = lib.types.listOf lib.types.anything;
      default = [ ];
      description = "Swap space; accepted.";
    };
  };
}
