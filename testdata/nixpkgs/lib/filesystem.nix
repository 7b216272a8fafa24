{ lib }:
rec {
  pathType =
    path:
    (builtins.readDir (dirOf path)).${baseNameOf path}
      or (throw "lib.filesystem.pathType: Path ${toString path} does not exist.");
  pathIsDirectory = path: builtins.pathExists path && builtins.readFileType path == "directory";
  pathIsRegularFile = path: builtins.pathExists path && builtins.readFileType path == "regular";
  listFilesRecursive =
    dir:
    lib.concatLists (
      lib.mapAttrsToList (
        name: type:
        if type == "directory" then
          listFilesRecursive (dir + "/${name}")
        else
          [ (dir + "/${name}") ]
      ) (builtins.readDir dir)
    );
  locateDominatingFile =
    pattern: file:
    let
      go =
        path:
        let
          hits = builtins.filter (m: m != null) (
            map (name: builtins.match pattern name) (builtins.attrNames (builtins.readDir path))
          );
        in
        if hits != [ ] then
          {
            inherit path;
            matches = builtins.head hits;
          }
        else if path == /. then
          null
        else
          go (dirOf path);
    in
    go (if pathIsDirectory file then file else dirOf file);
}
