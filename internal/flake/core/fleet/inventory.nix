# inventory.*: what the fleet consists of, as plain data that is read without
# evaluating a machine.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  plain = import ../lib/plain.nix { inherit lib; };

  optional =
    type: attributes:
    mkOption (
      {
        type = types.nullOr type;
        default = null;
      }
      // attributes
    );

  settings = mkOption {
    type = plain.settings;
    default = { };
    example = {
      networkId = "db4344343b14b903";
    };
    description = "Settings of this layer. Layers are instance, role, tag, machine; the later one wins, leaf by leaf.";
  };

  machine = {
    options = {
      machineClass = mkOption {
        type = types.enum [
          "nixos"
          "darwin"
        ];
        default = "nixos";
        example = "darwin";
        description = "The kind of system that the machine runs.";
      };
      tags = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "workstation" ];
        description = "Tags for roles and selections. `all` and the class are added by themselves.";
      };
      description = optional types.str {
        example = "the laptop in the kitchen";
        description = "A sentence about the machine.";
      };
      deploy = {
        targetHost = optional types.str {
          example = "root@cinnabar.example.org";
          description = ''
            Where the machine is reached: `ssh://[user@]host[:port]`, `[user@]host`,
            `local`, or `root:PATH` for a folder that stands for the machine's root.
            `?ProxyJump=HOST,…` after the first two names hosts to go through. A user
            other than root becomes root there by sudo or doas.
          '';
        };
        buildHost = optional types.str {
          example = "root@builder.example.org";
          description = "Where the machine's system is built; null builds it at hand.";
        };
        addresses = mkOption {
          type = types.listOf types.str;
          default = [ ];
          example = [ "192.0.2.7" ];
          description = ''
            Further addresses under which the machine may be reached, written like
            targetHost. They are tried after it, one by one, and the one that answered
            is tried first the next time.
          '';
        };
      };
    };
  };

  # Which files define something: for messages about what they define.
  definedIn =
    option:
    mkOption {
      type = types.listOf types.str;
      default = map toString option.files;
      internal = true;
      readOnly = true;
      description = "The files that define this.";
    };

  assignment =
    { options, ... }:
    {
      options = {
        inherit settings;
        settingsDefinedIn = definedIn options.settings;
      };
    };

  role =
    { options, ... }:
    {
      options = {
        inherit settings;
        settingsDefinedIn = definedIn options.settings;
        machinesDefinedIn = definedIn options.machines;
        tagsDefinedIn = definedIn options.tags;
        machines = mkOption {
          type = types.attrsOf (types.submodule assignment);
          default = { };
          example = {
            cinnabar = { };
          };
          description = "The machines that have the role by name, with settings of their own.";
        };
        tags = mkOption {
          type = types.coercedTo (types.listOf types.str) (names: lib.genAttrs names (_: { })) (
            types.attrsOf (types.submodule assignment)
          );
          default = { };
          example = [ "workstation" ];
          description = "The tags whose machines have the role, as a list or with settings by tag.";
        };
        extraModules = mkOption {
          type = types.listOf types.deferredModule;
          default = [ ];
          description = "Modules for every machine that has the role.";
        };
      };
    };

  instance =
    { name, options, ... }:
    {
      options = {
        inherit settings;
        settingsDefinedIn = definedIn options.settings;
        rolesDefinedIn = definedIn options.roles;
        module = {
          name = mkOption {
            type = types.str;
            default = name;
            defaultText = lib.literalMD "the name of the instance";
            example = "zerotier";
            description = "The service that the instance is one of.";
          };
          input = optional types.str {
            example = "self";
            description = ''
              The input that has the service module: null or `fleet` for the
              services of fleet itself, `self` for those of this flake.
            '';
          };
        };
        roles = mkOption {
          type = types.attrsOf (types.submodule role);
          default = { };
          description = "Who takes which part in the service.";
        };
      };
    };

  inventory =
    { config, ... }:
    {
      options = {
        meta = {
          name = mkOption {
            type = types.strMatching "[a-zA-Z0-9_-]*";
            default = "fleet";
            example = "home";
            description = "The name of the fleet.";
          };
          description = optional types.str {
            example = "Four laptops and four servers";
            description = "A sentence about the fleet.";
          };
          domain = optional types.str {
            example = "zt";
            description = "The domain below which the machines have their names.";
          };
        };
        machines = mkOption {
          type = types.attrsOf (types.submodule machine);
          default = { };
          example = {
            argentum = {
              machineClass = "darwin";
              tags = [ "workstation" ];
            };
          };
          description = "The machines, by name.";
        };
        tags = mkOption {
          type = import ./tags.nix {
            inherit lib;
            inherit (config) machines;
          };
          default = { };
          example = lib.literalExpression ''
            {
              backup = [ "cinnabar" ];
              mobile = { config, machines, ... }: config.darwin;
            }
          '';
          description = ''
            Tags by the machines that carry them, beside the tags that machines
            name themselves: a list, or a function of the other tags and the machines.
          '';
        };
        instances = mkOption {
          type = types.attrsOf (types.submodule instance);
          default = { };
          description = "Services that several machines take part in.";
        };
      };
    };
in
{
  options.inventory = mkOption {
    type = types.submodule inventory;
    default = { };
    description = "What the fleet consists of. Reading it evaluates no machine.";
  };

  # A machine that has a module of its own is one of the fleet.
  config.inventory.machines = lib.mapAttrs (_: _: { }) config.clan.machines;
}
