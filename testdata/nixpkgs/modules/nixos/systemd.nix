# Units become files below /etc/systemd/system, through environment.etc as all
# files there: switch-to-configuration knows its own by that.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.systemd;

  names =
    what:
    mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "network.target" ];
      description = "Units ${what}.";
    };
  atom =
    with types;
    oneOf [
      bool
      int
      float
      str
      path
      package
    ];
  section =
    name:
    mkOption {
      type = types.attrsOf (types.either atom (types.listOf atom));
      default = { };
      description = "Lines of [${name}].";
    };
  text =
    what:
    mkOption {
      type = types.lines;
      default = "";
      description = what;
    };
  flag =
    default: what:
    mkOption {
      type = types.bool;
      inherit default;
      description = what;
    };

  common = {
    enable = flag true "Whether the unit exists.";
    description = mkOption {
      type = types.singleLineStr;
      default = "";
      example = "A web server";
      description = "What the unit is.";
    };
    documentation = names "and pages that explain this one";
    wantedBy = names "that start this one if they can";
    requiredBy = names "that need this one";
    wants = names "that this one starts if it can";
    requires = names "that this one needs";
    requisite = names "that must run already";
    bindsTo = names "that this one ends with";
    partOf = names "that this one is restarted with";
    conflicts = names "that cannot run at the same time";
    after = names "that come before this one";
    before = names "that come after this one";
    onFailure = names "that start when this one fails";
    aliases = names "names of this one; accepted";
    unitConfig = section "Unit";
    restartTriggers = mkOption {
      type = types.listOf types.unspecified;
      default = [ ];
      description = "A change of any of these restarts the unit.";
    };
    reloadTriggers = mkOption {
      type = types.listOf types.unspecified;
      default = [ ];
      description = "A change of any of these reloads the unit.";
    };
  };
  serviceOptions = common // {
    serviceConfig = section "Service";
    environment = mkOption {
      type = types.attrsOf (types.nullOr atom);
      default = { };
      example = {
        LANG = "C";
      };
      description = "Environment variables of the service.";
    };
    path = mkOption {
      type = types.listOf (types.either types.package types.str);
      default = [ ];
      example = lib.literalExpression "[ pkgs.hello ]";
      description = "Packages on the service's PATH.";
    };
    script = text "The service's main process, as a script.";
    preStart = text "A script that runs before it.";
    postStart = text "A script that runs once it is up.";
    preStop = text "A script that stops it.";
    postStop = text "A script that runs after it.";
    reload = text "A script that reloads it.";
    scriptArgs = mkOption {
      type = types.str;
      default = "";
      description = "Arguments of the main script.";
    };
    restartIfChanged = flag true "Whether a change restarts the service.";
    reloadIfChanged = flag false "Whether a change reloads it instead.";
    stopIfChanged = flag true "Whether a restart is a stop and, after activation, a start.";
    startAt = names "calendar times at which a timer starts this one; accepted";
  };

  show = v: if builtins.isBool v then lib.boolToString v else toString v;
  line = n: v: lib.concatMapStrings (x: "${n}=${show x}\n") (lib.toList v);
  section' =
    name: set:
    "[${name}]\n"
    + lib.concatStrings (
      lib.mapAttrsToList line (lib.filterAttrs (_: v: v != [ ] && v != "") set)
    );
  unitSection =
    u:
    section' "Unit" (
      {
        Description = u.description;
        Documentation = u.documentation;
        Wants = u.wants;
        Requires = u.requires;
        Requisite = u.requisite;
        BindsTo = u.bindsTo;
        PartOf = u.partOf;
        Conflicts = u.conflicts;
        After = u.after;
        Before = u.before;
        OnFailure = u.onFailure;
        X-Restart-Triggers = lib.optional (u.restartTriggers != [ ]) (
          builtins.hashString "sha256" (lib.concatMapStringsSep "\n" toString u.restartTriggers)
        );
        X-Reload-Triggers = lib.optional (u.reloadTriggers != [ ]) (
          builtins.hashString "sha256" (lib.concatMapStringsSep "\n" toString u.reloadTriggers)
        );
      }
      // u.unitConfig
    );
  script =
    name: part: text:
    "${pkgs.writeShellScript "unit-script-${name}-${part}" "set -e\n${text}"}";
  serviceText =
    name: s:
    unitSection s
    + "\n"
    + section' "Service" (
      {
        Environment =
          lib.mapAttrsToList (n: v: builtins.toJSON "${n}=${show v}") (
            lib.filterAttrs (_: v: v != null) s.environment
          )
          ++ [
            (builtins.toJSON "PATH=${
              lib.makeBinPath (s.path ++ [ pkgs.coreutils ])
            }:/usr/sbin:/usr/bin:/sbin:/bin")
          ];
        X-RestartIfChanged = lib.optional (!s.restartIfChanged) false;
        X-ReloadIfChanged = lib.optional s.reloadIfChanged true;
        X-StopIfChanged = lib.optional (!s.stopIfChanged) false;
      }
      // lib.mapAttrs (_: text: script name "hook" text) (
        lib.filterAttrs (_: text: text != "") {
          ExecStartPre = s.preStart;
          ExecStartPost = s.postStart;
          ExecStop = s.preStop;
          ExecStopPost = s.postStop;
          ExecReload = s.reload;
        }
      )
      // lib.optionalAttrs (s.script != "") {
        ExecStart = "${script name "start" s.script} ${s.scriptArgs}";
      }
      // s.serviceConfig
    );

  others = {
    sockets = "Socket";
    timers = "Timer";
    paths = "Path";
    mounts = "Mount";
    targets = null;
    slices = "Slice";
  };
  # sockets → a.socket, and its section as the option socketConfig.
  kind = plural: lib.removeSuffix "s" plural;
  otherUnits = lib.concatMapAttrs (
    plural: sectionName:
    lib.mapAttrs' (
      n: u:
      lib.nameValuePair "${n}.${kind plural}" {
        inherit (u) enable wantedBy requiredBy;
        text =
          unitSection u
          + lib.optionalString (sectionName != null) (
            "\n" + section' sectionName u."${kind plural}Config"
          );
      }
    ) cfg.${plural}
  ) others;

  links =
    kind: n: targets:
    map (t: {
      name = "systemd/system/${t}.${kind}/${n}";
      value.source = config.environment.etc."systemd/system/${n}".source;
    }) targets;
  # The last part of a linked unit's path must be its name.
  file = n: text: "${pkgs.writeTextDir n text}/${n}";
in
{
  options.systemd = {
    units = mkOption {
      type = types.attrsOf (
        types.submodule {
          options = {
            inherit (common) enable wantedBy requiredBy;
            text = mkOption {
              type = types.str;
              default = "";
              description = "The unit's file.";
            };
          };
        }
      );
      default = { };
      example = {
        "a.service".text = "[Service]\nExecStart=/bin/true\n";
      };
      description = "Units by their full name.";
    };
    services = mkOption {
      type = types.attrsOf (types.submodule { options = serviceOptions; });
      default = { };
      example = {
        web.script = "exec httpd -f";
      };
      description = "Services.";
    };
    tmpfiles = {
      rules = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "d /var/lib/x 0700 root root -" ];
        description = "Folders and files that must be there.";
      };
      settings = mkOption {
        type = types.attrsOf types.anything;
        default = { };
        description = "The same as an attribute set; accepted.";
      };
    };
    network = mkOption {
      type = types.anything;
      default = { };
      description = "networkd; accepted.";
    };
  }
  // lib.mapAttrs (
    plural: sectionName:
    mkOption {
      type = types.attrsOf (
        types.submodule {
          options =
            common
            // lib.optionalAttrs (sectionName != null) {
              "${kind plural}Config" = section sectionName;
            };
        }
      );
      default = { };
      description = "Units of kind ${kind plural}.";
    }
  ) others;

  config = {
    systemd.units =
      lib.mapAttrs' (
        n: s:
        lib.nameValuePair "${n}.service" {
          inherit (s) enable wantedBy requiredBy;
          text = serviceText n s;
        }
      ) cfg.services
      // otherUnits;
    environment.etc = lib.mkMerge (
      lib.mapAttrsToList (
        n: u:
        lib.mkIf u.enable (
          {
            "systemd/system/${n}".source = file n u.text;
          }
          // lib.listToAttrs (links "wants" n u.wantedBy ++ links "requires" n u.requiredBy)
        )
      ) cfg.units
      ++ [
        (lib.mkIf (cfg.tmpfiles.rules != [ ]) {
          "tmpfiles.d/00-nixos.conf".text = lib.concatMapStrings (r: "${r}\n") cfg.tmpfiles.rules;
        })
      ]
    );
  };
}
