# The details of machines of a flake without an inventory, given its
# `nixosConfigurations` or `darwinConfigurations`. It declares no vars.
{ names, toplevel }:
configurations:
builtins.listToAttrs (
  map (
    name:
    let
      machine = configurations.${name};
      system = machine.config.system.build.toplevel;
    in
    {
      inherit name;
      value = {
        inherit name;
        inherit (machine.pkgs.stdenv.hostPlatform) system;
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
      };
    }
  ) names
)
