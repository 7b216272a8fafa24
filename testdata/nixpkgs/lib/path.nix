{ lib }:
rec {
  append = path: sub: path + "/${lib.removePrefix "./" sub}";
  hasPrefix =
    prefix: path:
    prefix == path || prefix == /. || lib.hasPrefix "${toString prefix}/" (toString path);
  removePrefix =
    prefix: path:
    if !hasPrefix prefix path then
      throw "lib.path.removePrefix: The first path argument \"${toString prefix}\" is not a component-wise prefix of the second path argument \"${toString path}\"."
    else if prefix == path then
      "./."
    else
      "./" + lib.removePrefix "/" (lib.removePrefix (toString prefix) (toString path));
  hasStorePathPrefix = path: lib.hasPrefix "${builtins.storeDir}/" (toString path);
  subpath = {
    isValid =
      s:
      builtins.isString s
      && s != ""
      && !lib.hasPrefix "/" s
      && !builtins.elem ".." (lib.splitString "/" s);
    components = s: builtins.filter (c: c != "" && c != ".") (lib.splitString "/" s);
    join = parts: subpath.normalise (lib.concatStringsSep "/" ([ "." ] ++ parts));
    normalise =
      s:
      if !subpath.isValid s then
        throw "lib.path.subpath.normalise: Argument is not a valid subpath string: ${toString s}"
      else
        let
          parts = subpath.components s;
        in
        if parts == [ ] then "./." else "./" + lib.concatStringsSep "/" parts;
  };
}
