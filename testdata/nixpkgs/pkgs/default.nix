# The packages for one system. They are built on `buildPlatform` from what lies
# on every host that ran .ci/setup: /bin/busybox and /bin/bash-static.
{
  lib,
  system,
  tools ? ./no-tools,
  buildPlatform ? import ../platform.nix,
  overlays ? [ ],
  config ? { },
}:
let
  platform = lib.systems.elaborate system;

  base = final: {
    _type = "pkgs";
    inherit lib config overlays;
    inherit (platform) system;
    pkgs = final;
    hostPlatform = platform;
    callPackage = lib.callPackageWith final;
    newScope = extra: lib.callPackageWith (final // extra);
    extend = overlay: withOverlays (overlays ++ [ overlay ]);
    appendOverlays = more: withOverlays (overlays ++ more);
    stdenv = import ./stdenv.nix {
      inherit lib platform;
      inherit (final) bash coreutils;
      buildSystem = (lib.systems.elaborate buildPlatform).system;
    };
    stdenvNoCC = final.stdenv;
    runtimeShell = "${final.bash}/bin/bash";
    runtimeShellPackage = final.bash;
  };
  withOverlays =
    overlays:
    import ./. {
      inherit
        lib
        system
        tools
        buildPlatform
        overlays
        config
        ;
    };
in
lib.fix (
  lib.extends (lib.composeManyExtensions (
    [
      (import ./builders.nix)
      (import ./programs.nix { inherit tools; })
    ]
    ++ overlays
  )) base
)
