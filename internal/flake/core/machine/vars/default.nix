# clan.core.vars: values that a script makes once, secret or public, and the
# options by which a system reads them.
{
  config,
  lib,
  pkgs,
  _class,
  ...
}:
let
  inherit (lib) mkOption types;
  settings = config.clan.core.settings;
in
{
  options.clan.core.vars = {
    generators = mkOption {
      type = types.attrsOf (
        types.submoduleWith {
          specialArgs = {
            inherit pkgs settings;
            class = _class;
          };
          modules = [ ./generator.nix ];
        }
      );
      default = { };
      example = lib.literalExpression ''
        {
          ssh-host-key = {
            files.id_ed25519 = { };
            files."id_ed25519.pub".secret = false;
            runtimeInputs = [ pkgs.openssh ];
            script = "ssh-keygen -t ed25519 -f $out/id_ed25519 -N \"\"";
          };
        }
      '';
      description = "What makes the values, by name.";
    };

    sops.secretUploadDirectory = mkOption {
      type = types.str;
      default = "/var/lib/sops-nix";
      description = "Where the machine's age key lies on the machine, in a file named `key.txt`.";
    };
  };
}
