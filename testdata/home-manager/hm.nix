# lib.hm: an order of activation parts by what they come before and after.
{ lib }:
{
  dag = rec {
    entryAnywhere = entryBetween [ ] [ ];
    entryAfter = entryBetween [ ];
    entryBefore = before: entryBetween before [ ];
    entryBetween = before: after: data: { inherit before after data; };
  };
  # Entries as text in their order; a plain string comes anywhere.
  order =
    entries:
    let
      full = lib.mapAttrsToList (
        name: e:
        {
          inherit name;
          before = [ ];
          after = [ ];
        }
        // (if builtins.isString e then { data = e; } else e)
      ) entries;
      sorted = lib.toposort (a: b: builtins.elem b.name a.before || builtins.elem a.name b.after) full;
    in
    sorted.result
      or (throw "home.activation: these depend on each other: ${
        lib.concatMapStringsSep " -> " (e: e.name) sorted.cycle
      }");
  types.dagOf = lib.types.attrsOf;
}
