# Hands the secrets of the machine to sops-nix.
{
  config,
  lib,
  options,
  _class,
  ...
}:
let
  deployed = import ./deployed.nix { inherit config lib; };
  machine = config.clan.core.settings.machine.name;

  declare =
    phase:
    map (
      secret:
      lib.nameValuePair (deployed.nameOf secret) (
        {
          inherit (secret.file) owner group mode;
          format = "binary";
          sopsFile = deployed.sourceOf secret;
          neededForUsers = phase == "users";
        }
        // lib.optionalAttrs (_class == "nixos") { inherit (secret.file) restartUnits; }
      )
    ) deployed.${phase};

  secrets = declare "users" ++ declare "services";
in
{
  config = lib.optionalAttrs (options ? sops.secrets) {
    sops = {
      secrets = lib.listToAttrs secrets;
      age.keyFile = lib.mkIf (secrets != [ ]) (lib.mkDefault deployed.keyFile);
    };

    warnings = lib.optional (secrets != [ ] && config.sops.age.keyFile != deployed.keyFile) ''
      machine ${machine} decrypts its secrets with sops.age.keyFile = ${builtins.toJSON config.sops.age.keyFile}, but fleet puts the machine's key at ${deployed.keyFile}: remove that setting, or set clan.core.vars.sops.secretUploadDirectory to the folder of its key.txt
    '';
  };
}
