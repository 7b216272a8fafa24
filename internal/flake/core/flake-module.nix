# The fleet inside flake-parts, which itself declares `flake` and its outputs.
{ inputs, lib, ... }:
{
  imports = [ ./fleet ];

  # flake-parts' own `flake.modules` knows nothing of the routing of
  # homeManager modules, and an option is declared only once.
  disabledModules = lib.optional (
    inputs ? flake-parts.flakeModules.modules
  ) inputs.flake-parts.flakeModules.modules;
}
