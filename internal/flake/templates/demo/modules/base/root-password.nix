# The password of root: its hash must be there before users are made, and the
# password itself stays with the administrators.
{
  flake.modules.nixos.root-password =
    { config, pkgs, ... }:
    {
      clan.core.vars.generators.root-password = {
        files.password.deploy = false;
        files.hash.neededFor = "users";
        runtimeInputs = [ pkgs.busybox ];
        script = ''
          head -c 18 /dev/urandom | base64 | tr -d '\n' > $out/password
          mkpasswd -m sha512 < $out/password | tr -d '\n' > $out/hash
        '';
      };

      users.users.root.hashedPasswordFile =
        config.clan.core.vars.generators.root-password.files.hash.path;
    };
}
