# The secrets that are put on the machine, by the phase of activation that they
# are needed for, and where each comes from.
{ config, lib }:
let
  phases = {
    users = [
      "activation"
      "users"
    ];
    services = [ "services" ];
  };

  files = lib.concatMap (
    generator: map (file: { inherit generator file; }) (lib.attrValues generator.files)
  ) (lib.attrValues config.clan.core.vars.generators);

  # A secret that has not been made yet is no error of the evaluation:
  # `fleet verify` reports it.
  secretsOf =
    phase:
    lib.filter (
      { file, ... }:
      file.secret && file.deploy && lib.elem file.neededFor phases.${phase} && file.exists
    ) files;
in
{
  users = secretsOf "users";
  services = secretsOf "services";

  # The name of a secret below /run/secrets.
  nameOf = { generator, file }: "${generator.name}.${file.name}";

  # By content, so that other changes of the folder rebuild nothing.
  sourceOf =
    { generator, file }:
    builtins.path {
      path = file.flakePath;
      name = lib.strings.sanitizeDerivationName "sops-${generator.name}.${file.name}";
    };

  keyFile = "${config.clan.core.vars.sops.secretUploadDirectory}/key.txt";
}
