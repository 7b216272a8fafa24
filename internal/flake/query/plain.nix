# A flake that knows no fleet: its machines are reached under their own names,
# and declare no vars.
{ adminSystem, toplevel }:
outputs:
let
  nixos = outputs.nixosConfigurations or { };
  darwin = outputs.darwinConfigurations or { };
  configurations = darwin // nixos;

  machine =
    name: _:
    let
      class = if nixos ? ${name} then "nixos" else "darwin";
    in
    {
      inherit name class;
      tags = [
        "all"
        class
      ];
      deploy.targetHost = "root@${name}";
    };
in
{
  inventory = {
    machines = builtins.mapAttrs machine configurations;
    instances = { };
  };
  names = builtins.attrNames configurations;
  violations = [ ];

  describe =
    name:
    let
      configuration = configurations.${name};
      system = configuration.config.system.build.toplevel;
    in
    {
      inherit name;
      inherit (configuration.pkgs.stdenv.hostPlatform) system;
      generators = { };
      secretUploadDirectory = "";
      # Not `outPath`: what has one becomes that string in JSON.
      toplevel =
        if toplevel then
          {
            inherit (system) drvPath;
            out = system.outPath;
          }
        else
          null;
    }
    // (if toplevel then { health = configuration.config.fleet.health.described or null; } else { });
}
