# ZeroTier: one controller, any number of peers, of both classes.
{ lib, ... }:
let
  interface = {
    options.networkId = lib.mkOption {
      type = lib.types.nullOr (lib.types.strMatching "[0-9a-f]{16}");
      default = null;
      example = "db4344343b14b903";
      description = "The network to join: 16 hexadecimal digits.";
    };
  };

  perInstance =
    role:
    {
      instanceName,
      settings,
      roles,
      ...
    }:
    let
      membersOf = name: lib.attrNames (roles.${name}.machines or { });
      # Where a machine tells what it takes part in.
      facts = {
        environment.etc."fleet/instances/${instanceName}.json".text = builtins.toJSON {
          inherit role;
          network = settings.networkId;
          controllers = membersOf "controller";
          members = lib.unique (lib.naturalSort (membersOf "controller" ++ membersOf "peer"));
        };
      };
    in
    {
      darwinModule = facts;
      nixosModule = {
        imports = [ facts ];
        services.zerotierone = lib.mkIf (settings.networkId != null) {
          enable = true;
          joinNetworks = [ settings.networkId ];
        };
      };
    };
in
{
  manifest = {
    name = "zerotier";
    description = "A ZeroTier network between the machines";
  };

  roles.controller = {
    inherit interface;
    description = "Authorises the members of the network";
    constraints.max = 1;
    before = [ "peer" ];
    perInstance = perInstance "controller";
  };

  roles.peer = {
    inherit interface;
    description = "A member of the network";
    perInstance = perInstance "peer";
  };
}
