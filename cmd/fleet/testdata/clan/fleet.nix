# The clan of TestRealClan: every kind of value, and one trouble of each kind.
{ lib, ... }:
let
  system = {
    _module.check = false;
    clan.core.networking.targetHost = lib.mkDefault null;
  };

  values =
    { config, ... }:
    {
      imports = [ system ];
      clan.core.vars.generators = {
        ca = {
          share = true;
          files.key.deploy = false;
          files.crt.secret = false;
          script = ''
            head -c 300 /dev/urandom | base64 > $out/key
            sha256sum < $out/key > $out/crt
          '';
        };
        joined = {
          share = true;
          files.token = { };
          script = "printf joined > $out/token";
        };
        host = {
          files.key.owner = "root";
          files.pub.secret = false;
          files.empty.secret = false;
          dependencies = [ "ca" ];
          validation.name = config.clan.core.settings.machine.name;
          script = ''
            cat $in/ca/crt > $out/pub
            head -c 64 /dev/urandom > $out/key
            : > $out/empty
          '';
        };
        token = {
          files.secret = { };
          script = "head -c 16 /dev/urandom | base64 | tr -d '\\n' > $out/secret";
        };
      };
    };
in
{
  meta.name = "real";
  meta.domain = "example.org";

  inventory.machines = {
    web = { };
    db = { };
  };
  machines = {
    web = values;
    db = values;
    failing = {
      imports = [ system ];
      clan.core.vars.generators.fails = {
        files.never = { };
        script = "echo it cannot >&2; exit 3";
      };
    };
    broken = {
      imports = [ system ];
      clan.core.vars.generators = throw "nobody knows how";
    };
  };
}
