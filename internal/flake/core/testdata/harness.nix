# The outputs of a small fleet, without a lock file and without copying
# anything into the store: what `nix eval` makes of a flake, but quicker.
{
  core,
  world,
  dir,
}:
let
  fleet = import core;
  inputs = import world // {
    inherit fleet;
    inherit self;
  };
  self = outputs // {
    outPath = dir;
    inherit inputs outputs;
  };
  outputs =
    if builtins.pathExists (dir + "/flake.nix") then
      (import (dir + "/flake.nix")).outputs inputs
    else
      fleet.lib.mkFleet {
        inherit inputs;
        imports = fleet.lib.importTree (dir + "/modules");
      };
in
outputs
