# What clan-core makes of fleet.nix, as far as it promises it, by hand: small
# enough to be evaluated everywhere.
let
  mapAttrs = builtins.mapAttrs;

  derived =
    name:
    derivation {
      inherit name;
      system = "x86_64-linux";
      builder = "/bin/sh";
    };

  # lib.setDefaultModuleLocation, in which clan-core wraps settings.
  settings = value: {
    imports = [
      {
        _file = "fleet.nix";
        imports = [ value ];
      }
    ];
  };
  role = value: {
    machines = { };
    tags = { };
    settings = settings { };
  } // value;
  force = content: {
    _type = "override";
    priority = 50;
    inherit content;
  };

  machine =
    name: class: tags: more:
    {
      inherit name tags;
      machineClass = class;
      description = null;
      icon = null;
      installedAt = null;
      deploy = {
        targetHost = null;
        buildHost = null;
        forwardAgent = null;
      };
    }
    // more;

  inventory = {
    meta = {
      name = "small";
      description = "One of each";
      domain = "example.org";
      icon = null;
      tld = null;
    };
    machines = {
      broken = machine "broken" "nixos" [ "all" "nixos" ] { };
      db = machine "db" "nixos" [ "server" "arm" "all" "nixos" ] { };
      mac = machine "mac" "darwin" [ "all" "darwin" ] { };
      web = machine "web" "nixos" [ "server" "all" "nixos" ] {
        description = "The web server";
        deploy = {
          targetHost = "root@web.example.org";
          buildHost = "root@build.example.org";
          forwardAgent = null;
        };
      };
    };
    instances = {
      internet = {
        module = {
          name = "internet";
          input = null;
        };
        roles.default = role {
          machines.web.settings = settings { host = "192.0.2.1"; };
          machines.db.settings = settings {
            host = "192.0.2.2";
            port = 2222;
            user = "admin";
          };
        };
      };
      monitor = {
        module = {
          name = "monitor";
          input = "self";
        };
        roles.client = role { tags.all.settings = settings { }; };
        roles.server = role {
          machines.web.settings = settings { port = force 9000; };
          tags.server.settings = settings { limits.closed = 20; };
          settings = settings {
            port = 80;
            limits.open = 10;
            names = [ "a" ];
          };
        };
      };
    };
  };

  # The options of a generator and its files, with their defaults.
  generator =
    machine: name: value:
    {
      share = false;
      dependencies = [ ];
      prompts = { };
      validationHash = null;
      finalScript = derived "generator-${name}";
    }
    // value
    // {
      files = mapAttrs (
        file: options:
        let
          self = {
            secret = true;
            deploy = true;
            owner = "root";
            group = "root"; # of the administrator's platform
            mode = "0400";
            neededFor = "services";
            restartUnits = [ ];
            rel_dir = if value.share or false then "shared/${name}" else "per-machine/${machine}/${name}";
            path =
              if self.neededFor == "activation" then
                "/var/lib/sops-nix/activation/${self.rel_dir}/${file}"
              else if self.neededFor == "partitioning" then
                "/run/partitioning-secrets/${self.rel_dir}/${file}"
              else
                throw "the path of a secret evaluates all of them";
          }
          // options;
        in
        self
      ) value.files;
    };

  ca = {
    share = true;
    files = {
      key.deploy = false;
      crt.secret = false;
      passphrase = { };
    };
    prompts.passphrase = {
      name = "passphrase";
      description = "Of the authority";
      type = "hidden";
      persist = true;
      display = {
        group = "CA";
        label = "Passphrase";
        helperText = null;
        required = true;
      };
    };
  };

  generators = {
    web = {
      inherit ca;
      key = {
        files = {
          private = {
            owner = "web";
            group = "web";
            mode = "0440";
            restartUnits = [ "web.service" ];
          };
          public.secret = false;
          boot.neededFor = "activation";
          disk.neededFor = "partitioning";
          hash.neededFor = "users";
          kept.deploy = false;
        };
        dependencies = [ "ca" ];
        validationHash = builtins.hashString "sha256" (builtins.toJSON { name = "web.example.org"; });
      };
      monitor.files.token = { };
      state-version.files.version.secret = false;
    };
    db = {
      monitor.files.token = { };
      state-version.files.version.secret = false;
    };
    mac = { inherit ca; };
    broken.bad.files = throw "nobody knows the files";
  };

  configuration = name: system: more: {
    pkgs = {
      stdenv.hostPlatform.system = system;
      bash = derived "coreutils-host"; # by another name
    };
    config = {
      system.build.toplevel = derived name;
      clan.core = {
        sops.defaultGroups = more.groups or [ ];
        deployment.requireExplicitUpdate = more.explicit or false;
        networking = {
          targetHost = more.targetHost or null;
          buildHost = more.buildHost or null;
        };
        vars = {
          settings.secretModule = "clan_lib.vars.secret_modules.sops";
          settings.publicModule = "clan_lib.vars.public_modules.in_repo";
          sops.secretUploadDirectory = more.uploads or "/var/lib/sops-nix";
          generators = mapAttrs (generator name) generators.${name};
        };
      };
    };
  };

  nixosConfigurations = {
    web = configuration "web" "x86_64-linux" {
      groups = [ "admins" ];
      explicit = true;
      targetHost = throw "the inventory says it";
    };
    db = configuration "db" "aarch64-linux" {
      targetHost = "root@db.example.org";
      buildHost = "localhost";
      uploads = "/root/keys";
    };
    broken = configuration "broken" "x86_64-linux" { };
  };
  darwinConfigurations.mac = configuration "mac" "aarch64-darwin" { };
in
{
  inherit nixosConfigurations darwinConfigurations;
  clanInternals = {
    inventoryClass = {
      inventorySerialization = inventory;
      relativeDirectory = "";
    };
    cliChecks = [
      {
        id = "monitor-monitor-server-maxMachines";
        severity = "error";
        message = "Role 'server' of service 'monitor' instance 'monitor' allows at most 1 machine(s) but 2 are assigned.";
      }
      {
        id = "advice";
        severity = "warning";
        message = "This could be better.";
      }
    ];
    vars.settings.recipients = {
      hosts = { };
      default = [ ];
    };
    machines.x86_64-linux = nixosConfigurations // darwinConfigurations;
  };
  clan.exports = {
    "clan-core/internet:internet::" = {
      networking = {
        priority = 2000;
        module = "clan_lib.network.direct";
      };
      peer = null;
    };
    "clan-core/internet:internet:default:web" = {
      networking = null;
      peer = {
        port = 22;
        user = null;
        hosts = [ { plain = "192.0.2.1"; } ];
      };
    };
    "clan-core/internet:internet:default:db" = {
      networking = null;
      peer = {
        port = 2222;
        user = "admin";
        hosts = [ { plain = "192.0.2.2"; } ];
      };
    };
  };
}
