# A flake made by the core: its output `fleet` is what this program reads.
{ adminSystem, toplevel }:
outputs:
let
  fleet =
    if outputs.fleet.schema or 0 == 1 then
      outputs.fleet
    else
      throw "this flake was made for another version of fleet (schema ${
        toString (outputs.fleet.schema or 0)
      }, this program knows 1)";
in
{
  inherit (fleet) inventory;
  names = builtins.attrNames fleet.inventory.machines;
  violations = [ ]; # they are errors of the evaluation
  describe = name: fleet.machines.${name}.describe { inherit adminSystem toplevel; };
}
