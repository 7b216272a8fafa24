{ lib }:
rec {
  addMetaAttrs = meta: drv: drv // { meta = drv.meta or { } // meta; };
  setName = name: drv: drv // { inherit name; };
  hiPrio = setPrio (-10);
  lowPrio = setPrio 10;
  setPrio = priority: addMetaAttrs { inherit priority; };

  getExe =
    x:
    getExe' x (
      x.meta.mainProgram or (
        # Packages of old named their program like themselves.
        lib.warn
          "getExe: Package ${
            lib.strings.escapeNixIdentifier x.meta.name or x.pname or x.name
          } does not have the meta.mainProgram attribute. We'll assume that the main program has the same name for now, but this behavior is deprecated, because it leads to surprising errors when the assumption does not hold. If the package has a main program, please set `meta.mainProgram` in its definition to make this warning go away. Otherwise, if the package does not have a main program, or if you don't control its definition, use getExe' to specify the name to the program, such as lib.getExe' foo \"bar\"."
          (lib.getName x)
      )
    );
  getExe' =
    x: program:
    if !lib.isDerivation x then
      throw "lib.meta.getExe': The first argument is of type ${builtins.typeOf x}, but it should be a derivation instead."
    else if !builtins.isString program || builtins.match ".*/.*" program != null then
      throw "lib.meta.getExe': The second argument \"${program}\" is a nested path with a \"/\" character, but it should just be the name of the executable instead."
    else
      "${lib.getBin x}/bin/${program}";

  platformMatch =
    platform: pattern:
    if builtins.isString pattern then
      platform.system == pattern
    else
      lib.matchAttrs pattern platform;
  availableOn =
    platform: pkg:
    (!pkg ? meta.platforms || builtins.any (platformMatch platform) pkg.meta.platforms)
    && !builtins.any (platformMatch platform) (pkg.meta.badPlatforms or [ ]);
}
