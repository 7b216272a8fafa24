{ lib }:
rec {
  # Calls f so that the result can be called again with other arguments.
  makeOverridable =
    f: args:
    let
      redo = new: makeOverridable f (args // lib.toFunction new args);
      result = f args;
    in
    if builtins.isAttrs result then
      result
      // {
        override = lib.setFunctionArgs redo (lib.functionArgs f);
        overrideDerivation = g: overrideDerivation result g;
      }
      // lib.optionalAttrs (result ? overrideAttrs) {
        overrideAttrs = g: makeOverridable (a: (f a).overrideAttrs g) args;
      }
    else if lib.isFunction result then
      lib.setFunctionArgs result (lib.functionArgs result)
      // {
        override = redo;
      }
    else
      result;
  overrideDerivation =
    drv: f: derivation (drv.drvAttrs // f drv) // { inherit (drv) meta; };

  # Fills the arguments of a function (or the file that holds it) from a set.
  callPackageWith =
    scope: fn: args:
    let
      f = if lib.isFunction fn then fn else import fn;
      wanted = lib.functionArgs f;
      given = builtins.intersectAttrs wanted scope // args;
      missing = builtins.attrNames (lib.filterAttrs (n: optional: !optional && !given ? ${n}) wanted);
    in
    if missing == [ ] then
      makeOverridable f given
    else
      abort "lib.customisation.callPackageWith: Function called without required argument \"${builtins.head missing}\"${
        lib.optionalString (!lib.isFunction fn) " at ${toString fn}"
      }${
        let
          near = builtins.filter (n: lib.strings.levenshteinAtMost 2 n (builtins.head missing)) (
            builtins.attrNames scope
          );
        in
        lib.optionalString (near != [ ]) ", did you mean \"${lib.concatStringsSep "\" or \"" near}\"?"
      }";
  callPackagesWith =
    scope: fn: args:
    let
      f = if lib.isFunction fn then fn else import fn;
      given = builtins.intersectAttrs (lib.functionArgs f) scope // args;
    in
    lib.mapAttrs (n: _: makeOverridable (a: (f a).${n}) given) (f given);
  makeScope =
    newScope: f:
    let
      self = f self // {
        newScope = extra: newScope (self // extra);
        callPackage = self.newScope { };
        overrideScope = g: makeScope newScope (lib.extends g f);
        packages = f;
      };
    in
    self;
  extendDerivation =
    condition: passthru: drv:
    drv
    // passthru
    // {
      outPath = assert condition; drv.outPath;
      drvPath = assert condition; drv.drvPath;
    };
  hydraJob = drv: drv;
}
