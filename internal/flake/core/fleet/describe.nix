# What only the evaluation of a machine can tell, as plain data.
{
  lib,
  name,
  configuration,
  nixpkgs,
}:
{
  # The platform that generators run on, such as x86_64-linux.
  adminSystem,
  toplevel ? false,
}:
let
  inherit (configuration) config;
  vars = config.clan.core.vars;
  inherit (configuration.pkgs.stdenv.hostPlatform) system;

  # The scripts run where the administrator sits: with another platform than
  # the machine's, they come from the same modules with the packages for it.
  scripts =
    (
      if system == adminSystem then
        configuration
      else
        configuration.extendModules {
          modules = [ { _module.args.pkgs = lib.mkForce adminPkgs; } ];
        }
    ).config.clan.core.vars.generators;

  adminPkgs =
    let
      pkgs =
        nixpkgs.legacyPackages.${adminSystem}
          or (throw "nixpkgs has no packages for ${adminSystem}, where the generators of ${name} are to run");
      overlays = config.nixpkgs.overlays or [ ];
    in
    if overlays == [ ] then pkgs else pkgs.appendOverlays overlays;

  derivation = package: {
    inherit (package) drvPath;
    # Not `outPath`: what has one becomes that string in JSON.
    out = package.outPath;
  };

  file =
    value:
    {
      inherit (value)
        name
        secret
        deploy
        owner
        group
        mode
        neededFor
        restartUnits
        ;
    }
    // lib.optionalAttrs (value.secret && value.deploy) { inherit (value) path; };

  prompt = value: {
    inherit (value)
      name
      description
      type
      persist
      ;
    display = lib.filterAttrs (_: part: part != null) value.display;
  };

  generator =
    value:
    {
      inherit (value) name share dependencies;
      prompts = lib.mapAttrs (_: prompt) value.prompts;
      files = lib.mapAttrs (_: file) value.files;
    }
    // (
      if value.finalBuiltin != null then
        { builtin = value.finalBuiltin; }
      else
        { script = derivation scripts.${value.name}.finalScript; }
    )
    // lib.optionalAttrs (value.validationHash != null) { inherit (value) validationHash; };
in
{
  inherit name system;
  generators = lib.mapAttrs (_: generator) vars.generators;
  secretUploadDirectory = vars.sops.secretUploadDirectory;
}
// lib.optionalAttrs toplevel {
  toplevel = derivation config.system.build.toplevel;
  health = config.fleet.health.described;
}
