# The details of machines of a native flake, given `fleet.machines`.
{
  names,
  adminSystem,
  toplevel,
}:
machines:
builtins.listToAttrs (
  map (name: {
    inherit name;
    value = machines.${name}.describe { inherit adminSystem toplevel; };
  }) names
)
