# A secret that somebody types, and that a user may read.
{
  flake.modules.nixos.base.clan.core.vars.generators.e2e = {
    prompts.phrase.type = "hidden";
    files.phrase = {
      owner = "crs58";
      group = "users";
      mode = "0440";
    };
    script = "cat $prompts/phrase > $out/phrase";
  };
}
