# The inventory of a native flake, given its output `fleet`.
{ }:
fleet:
if fleet.schema or 0 == 1 then
  fleet.inventory
else
  throw "this flake was made for another version of fleet (schema ${toString (fleet.schema or 0)}, this program knows 1)"
