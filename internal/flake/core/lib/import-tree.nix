# Every Nix file below a directory, in a fixed order. A file or directory whose
# name starts with `_` is left out with all that lies in it.
dir:
let
  walk =
    path:
    let
      entries = builtins.readDir path;
      visit =
        name:
        let
          below = path + "/${name}";
        in
        if builtins.substring 0 1 name == "_" then
          [ ]
        else if entries.${name} == "directory" then
          walk below
        else if builtins.match ".*\\.nix" name != null then
          [ below ]
        else
          [ ];
    in
    builtins.concatMap visit (builtins.attrNames entries);
in
walk dir
