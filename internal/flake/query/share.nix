# One worker's share of a whole native flake, given its output `fleet`: of the
# machines in order every `of`th from `index` on, and from the first worker the
# inventory.
{
  index,
  of,
  adminSystem,
  toplevel,
}:
fleet:
assert fleet.schema == 1;
let
  names = builtins.attrNames fleet.inventory.machines;
  count = builtins.length names;
in
{
  inventory = if index == 0 then fleet.inventory else null;
  details = builtins.listToAttrs (
    builtins.genList (
      i:
      let
        name = builtins.elemAt names (i * of + index);
      in
      {
        inherit name;
        value = fleet.machines.${name}.describe { inherit adminSystem toplevel; };
      }
    ) ((count - index + of - 1) / of)
  );
}
