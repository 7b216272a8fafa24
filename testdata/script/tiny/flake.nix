{
  description = "Two machines for tests";

  inputs.nixpkgs.url = "path:@ROOT@/testdata/nixpkgs";
  inputs.fleet.url = "path:@ROOT@/internal/flake/core";

  outputs =
    inputs:
    inputs.fleet.lib.mkFleet {
      inherit inputs;
      imports = inputs.fleet.lib.importTree ./modules;
    };
}
