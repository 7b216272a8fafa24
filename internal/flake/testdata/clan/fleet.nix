# A small clan that has one of each: what the real clan-core makes of it is
# recorded.json, and shape.nix says the same by hand.
{ lib, ... }:
let
  # None of these systems is built.
  system = name: {
    _module.check = false;
    # Its default needs an option that the old NixOS lacks.
    clan.core.networking.targetHost = lib.mkDefault null;
    system.build = lib.mkForce {
      toplevel = derivation {
        inherit name;
        system = "x86_64-linux";
        builder = "/bin/sh";
      };
    };
  };

  key =
    { pkgs, ... }:
    {
      clan.core.vars.generators.key = {
        files.private = {
          owner = "web";
          group = "web";
          mode = "0440";
          restartUnits = [ "web.service" ];
        };
        files.public.secret = false;
        files.boot.neededFor = "activation";
        files.disk.neededFor = "partitioning";
        files.hash.neededFor = "users";
        files.kept.deploy = false;
        dependencies = [ "ca" ];
        validation.name = "web.example.org";
        runtimeInputs = [ pkgs.coreutils ];
        script = "echo private > $out/private";
      };
    };

  ca.clan.core.vars.generators.ca = {
    share = true;
    files.key.deploy = false;
    files.crt.secret = false;
    prompts.passphrase = {
      description = "Of the authority";
      type = "hidden";
      persist = true;
      display = {
        group = "CA";
        label = "Passphrase";
      };
    };
    script = "echo crt > $out/crt";
  };
in
{
  meta = {
    name = "small";
    description = "One of each";
    domain = "example.org";
  };

  inventory.machines = {
    web = {
      tags = [ "server" ];
      description = "The web server";
      deploy.targetHost = "root@web.example.org";
      deploy.buildHost = "root@build.example.org";
    };
    db.tags = [
      "server"
      "arm"
    ];
    mac.machineClass = "darwin";
  };

  inventory.instances = {
    monitor = {
      module.name = "monitor";
      module.input = "self";
      roles.server.machines.web.settings.port = lib.mkForce 9000;
      roles.server.settings = {
        port = 80;
        limits.open = 10;
        names = [ "a" ];
      };
      roles.server.tags.server.settings.limits.closed = 20;
      roles.client.tags = [ "all" ];
    };
    internet.roles.default.machines = {
      web.settings.host = "192.0.2.1";
      db.settings = {
        host = "192.0.2.2";
        port = 2222;
        user = "admin";
      };
    };
  };

  modules.monitor = {
    _class = "clan.service";
    manifest.name = "monitor";
    manifest.readme = "Watches.";
    manifest.constraints.roles.server.maxMachines = 1;
    roles.client = {
      description = "Is watched";
      interface = { };
    };
    roles.server = {
      description = "Watches";
      interface = {
        options.port = lib.mkOption { type = lib.types.port; };
        options.limits = lib.mkOption { type = lib.types.attrsOf lib.types.int; };
        options.names = lib.mkOption { type = lib.types.listOf lib.types.str; };
      };
      perInstance = {
        nixosModule.clan.core.vars.generators.monitor = {
          files.token = { };
          script = "echo token > $out/token";
        };
      };
    };
  };

  machines = {
    web = {
      imports = [
        (system "web")
        key
        ca
      ];
      nixpkgs.hostPlatform = "x86_64-linux";
      clan.core.deployment.requireExplicitUpdate = true;
      clan.core.sops.defaultGroups = [ "admins" ];
    };
    db =
      { clan-core, ... }:
      {
        imports = [ (system "db") ];
        nixpkgs.hostPlatform = "aarch64-linux";
        nixpkgs.pkgs = clan-core.inputs.nixpkgs.legacyPackages.aarch64-linux;
        clan.core.networking.targetHost = "root@db.example.org";
        clan.core.networking.buildHost = "localhost";
        clan.core.vars.sops.secretUploadDirectory = "/root/keys";
      };
    mac = {
      imports = [
        (system "mac")
        ca
      ];
      nixpkgs.hostPlatform = "aarch64-darwin";
    };
    broken = {
      imports = [ (system "broken") ];
      nixpkgs.hostPlatform = "x86_64-linux";
      clan.core.vars.generators.bad.files = throw "nobody knows the files";
    };
  };
}
