# A flake made by clan-core, read through the attributes that it promises to its
# own program (clan_lib/nix_selectors.py): what else is in there may change any
# day.
{ adminSystem, toplevel }:
outputs:
let
  internals = outputs.clanInternals;
  inventoryClass = internals.inventoryClass or tooOld;
  inventory = inventoryClass.inventorySerialization or tooOld;
  tooOld = throw "its clan-core is older than this program knows (it has no clanInternals.inventoryClass.inventorySerialization): run `nix flake update clan-core`";

  set =
    attrs:
    removeAttrs attrs (builtins.filter (name: attrs.${name} == null) (builtins.attrNames attrs));
  try =
    default: value:
    let
      result = builtins.tryEval value;
    in
    if result.success then result.value else default;
  sort = builtins.sort builtins.lessThan;

  machine =
    name: value:
    {
      inherit name;
      class = value.machineClass or inventoryClass.inventory.machines.${name}.machineClass;
      tags = sort value.tags;
      deploy = set {
        targetHost = value.deploy.targetHost or null;
        buildHost = value.deploy.buildHost or null;
      };
    }
    // set { description = value.description or null; };

  # Settings are modules that hold plain data; a layer may be wrapped in others
  # that say where it was written.
  plain =
    module:
    if module ? imports then
      builtins.concatMap plain module.imports
    else
      [ (removeAttrs module [ "_file" ]) ];

  # The leaves of a layer, with the priority that mkForce and mkDefault give.
  leaves =
    origin: path: priority: value:
    if builtins.isAttrs value && value._type or "" == "override" then
      leaves origin path value.priority value.content
    else if builtins.isAttrs value && value != { } then
      builtins.concatMap (name: leaves origin (path ++ [ name ]) priority value.${name}) (
        builtins.attrNames value
      )
    else
      [
        {
          inherit
            origin
            path
            priority
            value
            ;
          name = builtins.concatStringsSep "." path;
        }
      ];

  # { a.b = 1; } of the leaf b below a.
  nest =
    path: value:
    if path == [ ] then
      value
    else
      { ${builtins.head path} = nest (builtins.tail path) value; };
  merge =
    a: b:
    if builtins.isAttrs a && builtins.isAttrs b then
      a // builtins.mapAttrs (name: value: if a ? ${name} then merge a.${name} value else value) b
    else
      b;

  # Of leaves with one name the last of the strongest priority counts.
  resolve =
    layers:
    let
      all = builtins.concatMap (
        { origin, settings }: builtins.concatMap (leaves origin [ ] 100) (plain settings)
      ) layers;
      strongest = builtins.foldl' (
        chosen: leaf:
        if leaf.path == [ ] || chosen ? ${leaf.name} && chosen.${leaf.name}.priority < leaf.priority then
          chosen
        else
          chosen // { ${leaf.name} = leaf; }
      ) { } all;
    in
    {
      settings = builtins.foldl' (whole: leaf: merge whole (nest leaf.path leaf.value)) { } (
        builtins.attrValues strongest
      );
      origins = builtins.mapAttrs (_: leaf: leaf.origin) strongest;
    };

  role =
    value:
    let
      member =
        name: carried:
        let
          named = value.machines ? ${name};
          tags = builtins.filter (tag: value.tags ? ${tag}) carried;
          layer = origin: from: {
            inherit origin;
            settings = from.settings or { };
          };
        in
        if !named && tags == [ ] then
          null
        else
          {
            via = (if named then [ "machine" ] else [ ]) ++ map (tag: "tag:${tag}") tags;
          }
          // resolve (
            [ (layer "role" value) ]
            ++ map (tag: layer "tag:${tag}" value.tags.${tag}) tags
            ++ (if named then [ (layer "machine" value.machines.${name}) ] else [ ])
          );
    in
    {
      machines = set (
        builtins.mapAttrs (name: value: member name (sort value.tags)) inventory.machines
      );
    };

  instance = name: value: {
    module = set {
      name = value.module.name or name;
      input = value.module.input or null;
    };
    roles = builtins.mapAttrs (_: role) value.roles;
  };

  # clan_lib.vars.secret_modules.password_store is password-store; what is not
  # clan's own keeps its whole name.
  storeName =
    module:
    let
      found = builtins.match "clan_(lib|cli)\\.vars\\.(secret|public)_modules\\.([a-z_]+)" module;
      name = builtins.elemAt found 2;
    in
    if found == null then
      module
    else if name == "password_store" then
      "password-store"
    else
      name;

  derivation = package: {
    inherit (package) drvPath;
    # Not `outPath`: what has one becomes that string in JSON.
    out = package.outPath;
  };

  pkgsOf = configuration: configuration._module.args.pkgs or configuration.pkgs;
  systemOf = configuration: (pkgsOf configuration).stdenv.hostPlatform.system;

  # Evaluated with the packages of the administrator's platform, where the
  # scripts run.
  forAdmin =
    internals.machines.${adminSystem}
      or (throw "clan-core evaluates machines for administrators on ${
        builtins.concatStringsSep ", " (builtins.attrNames internals.machines)
      }, but not on ${adminSystem}: work on one of these");

  describe =
    name:
    let
      value = inventory.machines.${name};
      configuration = (
        if (machine name value).class == "darwin" then
          outputs.darwinConfigurations
        else
          outputs.nixosConfigurations
      ).${name};

      # The system that is deployed and the one that scripts are taken from are
      # two evaluations of the machine. Where the platform is the same, the
      # first does for both.
      both = toplevel && systemOf configuration == adminSystem;
      evaluated = if both then configuration else forAdmin.${name};
      inherit (evaluated.config.clan) core;
      inherit (core) vars;

      # The scripts are made to be given to a bash.
      shell = try null (
        let
          shell = derivation (pkgsOf evaluated).bash;
        in
        builtins.deepSeq shell shell
      );

      store = storeName vars.settings.secretModule;
      recipients = internals.vars.settings.recipients or { };
      uploads = toString (
        if store == "age" then vars.age.secretLocation else vars.sops.secretUploadDirectory or ""
      );

      file = name: file: {
        inherit name;
        inherit (file)
          secret
          deploy
          owner
          group
          mode
          neededFor
          ;
        restartUnits = try [ ] (file.restartUnits or [ ]);
        path = if file.secret && file.deploy then try "" (path name file) else "";
      };

      # The option `path` of a secret that sops-nix deploys is that of
      # sops.secrets, all of which it evaluates, and it is not there before the
      # secret is.
      path =
        name: file:
        if store == "sops" && (file.neededFor == "services" || file.neededFor == "users") then
          if file ? rel_dir then
            "/run/${
              if file.neededFor == "users" then "secrets-for-users" else "secrets"
            }/vars/${file.rel_dir}/${name}"
          else
            ""
        else
          file.path;

      prompt = name: prompt: {
        inherit name;
        inherit (prompt) type;
        description = toString (prompt.description or "");
        persist = prompt.persist or false;
        display = set (prompt.display or { });
      };

      generator =
        name: generator:
        {
          inherit name;
          inherit (generator) share dependencies;
          inherit shell;
          prompts = builtins.mapAttrs prompt generator.prompts;
          files = builtins.mapAttrs file generator.files;
          # What does not evaluate for this platform matters when it is to run.
          script = try null (
            let
              script = derivation generator.finalScript;
            in
            builtins.deepSeq script script
          );
        }
        // set { validationHash = generator.validationHash or null; };

      deployed = {
        system = systemOf configuration;
        toplevel = derivation configuration.config.system.build.toplevel;
        deploy = set {
          targetHost =
            if value.deploy.targetHost or null != null then
              null
            else
              try null core.networking.targetHost;
          buildHost = core.networking.buildHost or null;
        };
        networks = networks name;
        health = configuration.config.fleet.health.described or null;
      };
    in
    {
      inherit name;
      system = "";
      generators = builtins.mapAttrs generator vars.generators;
      secretUploadDirectory = uploads;
      store = {
        secret = store;
        public = storeName vars.settings.publicModule;
        groups = core.sops.defaultGroups or [ ];
        recipients =
          let
            own = recipients.hosts.${name} or [ ];
          in
          if own != [ ] then own else recipients.default or [ ];
      };
      requireExplicitUpdate = core.deployment.requireExplicitUpdate or false;
    }
    // (if toplevel then deployed else { });

  # What services export, by SERVICE:INSTANCE:ROLE:MACHINE: networks, and the
  # machines in them.
  exports = builtins.concatMap (
    key:
    let
      parts = builtins.filter builtins.isString (builtins.split ":" key);
      part = builtins.elemAt parts;
    in
    if builtins.length parts != 4 then
      [ ]
    else
      [
        {
          network = part 0 + ":" + part 1;
          instance = part 1;
          machine = part 3;
          export = outputs.clan.exports.${key};
        }
      ]
  ) (builtins.attrNames (outputs.clan.exports or { }));

  networks =
    name:
    let
      peers = builtins.filter (e: e.machine == name && e.export.peer or null != null) exports;
      offered = builtins.filter (e: e.instance != "" && e.export.networking or null != null) exports;
      host =
        value: set { plain = value.plain or null; } // (if value ? var then { var = ref value.var; } else { });
      ref = var: { inherit (var) machine generator file; };
      network = offer: {
        name = offer.instance;
        technology = builtins.replaceStrings [ "clan_lib.network." ] [ "" ] offer.export.networking.module;
        inherit (offer.export.networking) priority;
      };
      peer =
        { export, ... }:
        set { user = export.peer.user or null; }
        // {
          port = export.peer.port or 22;
          hosts = map host export.peer.hosts;
        };
      ways = builtins.concatMap (
        offer:
        # The address may be a value that is still to be made.
        builtins.filter (way: way != null) (
          map (
            member:
            let
              way = network offer // peer member;
            in
            try null (builtins.deepSeq way way)
          ) (builtins.filter (member: member.network == offer.network) peers)
        )
      ) offered;
    in
    builtins.sort (a: b: a.priority > b.priority) ways;
in
{
  inventory = {
    meta = set {
      inherit (inventory.meta) name;
      description = inventory.meta.description or null;
      domain = try null (inventory.meta.domain or null);
    };
    machines = builtins.mapAttrs machine inventory.machines;
    instances = builtins.mapAttrs instance (inventory.instances or { });
    folder = inventoryClass.relativeDirectory or "";
  };
  names = builtins.attrNames inventory.machines;
  violations = map (check: check.message) (
    builtins.filter (check: check.severity or "" == "error") (internals.cliChecks or [ ])
  );
  inherit describe;
}
