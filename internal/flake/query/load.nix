# What a flake says of its fleet, given all of its outputs: the flavour, the
# inventory, and the details of one worker's share of the machines: of those in
# `machines`, or of all, every `of`th from `index` on.
#
# With `catch`, the details of a machine that throws are null, which spares the
# others from being evaluated again without it.
{
  flavours,
  adminSystem,
  toplevel,
  inventory,
  violations,
  machines,
  catch,
  index,
  of,
}:
outputs:
let
  flavour =
    if outputs ? fleet then
      "native"
    else if outputs ? clanInternals then
      "clan"
    else if outputs ? nixosConfigurations || outputs ? darwinConfigurations then
      "plain"
    else
      "";

  fleet = flavours.${flavour} { inherit adminSystem toplevel; } outputs;

  wanted =
    if machines == null then
      fleet.names
    else if machines == [ ] then
      [ ]
    else
      builtins.filter (name: builtins.elem name fleet.names) machines;

  share = builtins.genList (i: builtins.elemAt wanted (i * of + index)) (
    (builtins.length wanted - index + of - 1) / of
  );

  details =
    name:
    let
      value = fleet.describe name;
      result = builtins.tryEval (builtins.deepSeq value value);
    in
    if !catch then
      value
    else if result.success then
      result.value
    else
      null;
in
{ inherit flavour; }
// (
  if flavour == "" then
    { }
  else
    {
      inventory = if inventory then fleet.inventory else null;
      violations = if violations then fleet.violations else null;
      details = builtins.listToAttrs (
        map (name: {
          inherit name;
          value = details name;
        }) share
      );
    }
)
