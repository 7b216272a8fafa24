{ lib }:
rec {
  # Evaluates the derivation only when it is really wanted.
  lazyDerivation =
    {
      derivation,
      meta ? null,
      passthru ? { },
      outputs ? [ "out" ],
    }:
    let
      all = lib.genAttrs outputs (o: derivation.${o});
    in
    {
      type = "derivation";
      inherit (derivation)
        outPath
        drvPath
        name
        system
        outputName
        ;
      inherit outputs;
      meta = if meta != null then meta else derivation.meta or { };
    }
    // all
    // passthru;
  optionalDrvAttr = condition: value: if condition then value else null;
  warnOnInstantiate =
    message: drv:
    drv
    // {
      drvPath = lib.warn message drv.drvPath;
    };
}
