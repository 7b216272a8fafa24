# Stands for a flake that is out of reach: its modules are empty, and machines
# that import them may set options that are not there.
{
  outputs =
    _:
    let
      lax._module.check = false;
      modules = {
        default = lax;
        disko = lax;
        data-mesher = lax;
      };
    in
    {
      flakeModule = {
        config._module.check = false;
        config.perSystem._module.check = false;
      };
      nixosModules = modules;
      darwinModules = modules;
      packages = { };
      lib = { };
    };
}
