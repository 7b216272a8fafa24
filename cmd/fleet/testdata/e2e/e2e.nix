# What the end-to-end test varies: e2e.json says it machine by machine.
let
  all = builtins.fromJSON (builtins.readFile ../e2e.json);
in
{
  flake.modules.nixos.base =
    {
      config,
      lib,
      pkgs,
      ...
    }:
    let
      mine = {
        # A new version is a new system.
        version = "1";
        # Megabytes that nothing has but this version.
        payload = 0;
        # Shell lines of a builder that the system waits for.
        build = "";
        # Shell lines of the activation.
        activate = "";
        # Shell lines of a service.
        service = "";
      }
      // all.${config.networking.hostName} or { };
    in
    {
      environment.etc = {
        "e2e/version".text = mine.version;
        "e2e/payload" = lib.mkIf (mine.payload > 0) {
          source = pkgs.runCommand "e2e-payload-${mine.version}" { } ''
            dd if=/dev/urandom of=$out bs=1M count=${toString mine.payload} 2>/dev/null
          '';
        };
        "e2e/build" = lib.mkIf (mine.build != "") {
          source = pkgs.runCommand "e2e-build-${mine.version}" { } mine.build;
        };
      };

      # With /etc already new and /run/current-system still old, the activation
      # waits for as long as the host has /run/e2e-hold.
      system.activationScripts.e2e = {
        deps = [ "etc" ];
        text = ''
          ${mine.activate}
          if [ -e /run/e2e-hold ]; then
            touch /run/e2e-held
            while [ -e /run/e2e-hold ]; do sleep 0.05; done
            rm -f /run/e2e-held
          fi
        '';
      };

      systemd.services.e2e = lib.mkIf (mine.service != "") {
        wantedBy = [ "multi-user.target" ];
        serviceConfig.ExecStart = pkgs.writeShellScript "e2e" mine.service;
      };
    };
}
