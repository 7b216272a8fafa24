# mkDerivation with the phases that text and scripts need.
{
  lib,
  platform,
  buildSystem,
  bash,
  coreutils,
}:
let
  # What Nix is told, and what only Nix code asks for.
  mkDerivation =
    argsOrFunction:
    let
      args = if lib.isFunction argsOrFunction then lib.fix argsOrFunction else argsOrFunction;
      name = args.name or "${args.pname}-${args.version}";
      meta = {
        inherit name;
        available = true;
      }
      // args.meta or { };
      drv = derivation (
        removeAttrs args [
          "meta"
          "passthru"
          "pname"
          "version"
          "buildInputs"
          "nativeBuildInputs"
        ]
        // {
          inherit name;
          system = buildSystem;
          builder = args.builder or "${bash}/bin/bash";
          args =
            args.args or [
              "-e"
              ./build.sh
            ];
          PATH = lib.makeBinPath (
            args.nativeBuildInputs or [ ] ++ args.buildInputs or [ ] ++ [
              coreutils
              bash
            ]
          );
        }
      );
    in
    drv
    // args.passthru or { }
    // {
      inherit meta;
      passthru = args.passthru or { };
      overrideAttrs =
        f:
        mkDerivation (
          let
            change = lib.toExtension f;
          in
          args // change args args
        );
    }
    // lib.optionalAttrs (args ? pname) { inherit (args) pname; }
    // lib.optionalAttrs (args ? version) { inherit (args) version; };
in
{
  inherit mkDerivation;
  hostPlatform = platform;
  buildPlatform = lib.systems.elaborate buildSystem;
  targetPlatform = platform;
  inherit (platform) system isLinux isDarwin;
  shell = "${bash}/bin/bash";
  cc = throw "the offline nixpkgs has no compiler";
}
