# The module system: modules are collected through their imports, their option
# declarations and definitions are brought together path by path, and each
# option merges its definitions by its type.
{ lib }:
let
  inherit (builtins)
    addErrorContext
    all
    attrNames
    concatMap
    elem
    filter
    foldl'
    head
    isAttrs
    isList
    isString
    length
    mapAttrs
    removeAttrs
    seq
    typeOf
    ;
  inherit (lib)
    attrByPath
    concatLists
    concatMapStringsSep
    concatStringsSep
    imap1
    init
    isOption
    last
    mkOption
    optional
    optionalAttrs
    optionalString
    reverseList
    setAttrByPath
    showFiles
    showOption
    types
    unknownModule
    zipAttrsWith
    ;
  inherit (lib.options) showDefs;
  inherit (lib.strings) levenshtein levenshteinAtMost;
  quote = lib.strings.escapeNixString;
in
rec {
  evalModules =
    evalArgs@{
      modules,
      # Where these options stand in a larger tree; for messages.
      prefix ? [ ],
      # Arguments of every module that `imports` may depend on.
      specialArgs ? { },
      # What the modules are for; one of another _class is refused.
      class ? null,
      # The old ways of saying _module.args and _module.check.
      args ? { },
      check ? true,
    }:
    let
      inherent = {
        _file = "lib/modules.nix";
        key = "lib/modules.nix";
        options._module = {
          args = mkOption {
            type = types.lazyAttrsOf types.raw;
            internal = true;
            description = "Additional arguments passed to each module.";
          };
          check = mkOption {
            type = types.bool;
            internal = true;
            default = true;
            description = "Whether a definition without an option is an error.";
          };
          freeformType = mkOption {
            type = types.nullOr types.optionType;
            internal = true;
            default = null;
            description = "The type of all definitions without an option.";
          };
          specialArgs = mkOption {
            type = types.raw;
            internal = true;
            readOnly = true;
            description = "The special arguments of this evaluation.";
          };
        };
        config._module = {
          args = {
            inherit extendModules;
            moduleType = type;
          };
          inherit specialArgs;
        };
      };
      legacy = optional (evalArgs ? args) { config._module.args = args; }
        ++ optional (evalArgs ? check) { config._module.check = mkDefault check; };

      moduleArgs = {
        inherit lib options specialArgs;
        _class = class;
        _prefix = prefix;
        config = addErrorContext "if you get an infinite recursion here, you probably reference `config` in `imports`. If you are trying to achieve a conditional import behavior dependent on `config`, consider importing unconditionally, and using `mkEnableOption` and `mkIf` to control its effect." config;
      }
      // specialArgs;

      collected = collectModules {
        inherit class moduleArgs;
        modulesPath = specialArgs.modulesPath or "";
        modules = modules ++ legacy ++ [ inherent ];
      };
      merged = mergeModules prefix (reverseList collected);
      options = merged.matchedOptions;

      declared = lib.mapAttrsRecursiveCond (v: !isOption v) (_: v: v.value) options;
      freeformType = declared._module.freeformType;
      undeclared = map (d: {
        inherit (d) file;
        value = setAttrByPath d.prefix d.value;
      }) merged.unmatchedDefns;
      config =
        if freeformType == null || undeclared == [ ] then
          declared
        else
          lib.recursiveUpdate (freeformType.merge prefix undeclared) declared;

      checked = seq (
        if declared._module.check && freeformType == null && merged.unmatchedDefns != [ ] then
          throwUndeclared prefix options (head merged.unmatchedDefns)
        else
          null
      );

      extendModules =
        {
          modules ? [ ],
          specialArgs ? { },
          prefix ? evalArgs.prefix or [ ],
        }:
        evalModules (
          evalArgs
          // {
            inherit prefix;
            modules = evalArgs.modules ++ modules;
            specialArgs = evalArgs.specialArgs or { } // specialArgs;
          }
        );
      type = types.submoduleWith { inherit modules specialArgs class; };
    in
    {
      _type = "configuration";
      options = checked options;
      config = checked (removeAttrs config [ "_module" ]);
      _module = checked config._module;
      inherit extendModules type class;
    };

  throwUndeclared =
    prefix: options: def:
    let
      name = last def.prefix;
      parent = init def.prefix;
      siblings = filter (n: parent != [ ] || n != "_module") (
        attrNames (attrByPath parent { } options)
      );
      near = lib.take 3 (
        lib.sortOn (levenshtein name) (
          if length siblings < 100 then
            siblings
          else
            filter (levenshteinAtMost 2 name) siblings
        )
      );
      show = n: "`${showOption (prefix ++ parent ++ [ n ])}'";
      hint =
        if near == [ ] then
          ""
        else if length near == 1 then
          "\n\nDid you mean ${show (head near)}?"
        else
          "\n\nDid you mean ${concatMapStringsSep ", " show (init near)} or ${show (last near)}?";
      message = "The option `${showOption (prefix ++ def.prefix)}' does not exist. Definition values:${showDefs [ def ]}${hint}";
    in
    if attrNames options != [ "_module" ] then
      throw message
    else if prefix == [ ] then
      throw ''
        ${message}

        It seems as if you're trying to declare an option by placing it into `config' rather than `options'!
      ''
    else
      throw ''
        ${message}

        However there are no options defined in `${showOption prefix}'. Are you sure you've
        declared your options properly? This can happen if you e.g. declared your options in `types.submodule'
        under `config' rather than `options'.
      '';

  # All modules with all they import, each key once, without the disabled ones.
  collectModules =
    {
      class,
      modulesPath,
      moduleArgs,
      modules,
    }:
    let
      node =
        file: key: n: m:
        let
          module = checkClass class (loadModule moduleArgs file "${key}:anon-${toString n}" m);
        in
        {
          inherit (module) key;
          inherit module;
          children = imap1 (node module._file module.key) module.imports;
        };
      roots = imap1 (node unknownModule "") modules;
      everything = builtins.genericClosure {
        startSet = roots;
        operator = n: n.children;
      };
      disabled = concatMap (
        n: map (disabledKey modulesPath n.module._file) n.module.disabledModules
      ) everything;
      enabled = filter (n: !elem n.key disabled);
    in
    map (n: n.module) (
      if disabled == [ ] then
        everything
      else
        builtins.genericClosure {
          startSet = enabled roots;
          operator = n: enabled n.children;
        }
    );

  checkClass =
    class: m:
    if class != null && m._class != null && m._class != class then
      throw ''
        The module `${m._file}` (class: ${quote m._class}) cannot be imported into a module evaluation that expects class ${quote class}.

        Help:
        - Ensure that you are importing the correct module.
        - Verify that the module's `_class`, ${quote m._class} matches the expected `class` ${quote class}.
        - If you are using a custom class, make sure it is correctly defined and used consistently across your modules.
      ''
    else
      m;

  disabledKey =
    modulesPath: file: m:
    if isString m && builtins.substring 0 1 m != "/" then
      "${toString modulesPath}/${m}"
    else if lib.strings.isConvertibleWithToString m && !isList m then
      toString m
    else if m ? key then
      m.key
    else if isAttrs m then
      throw "Module `${file}` contains a disabledModules item that is an attribute set, presumably a module, that does not have a `key` attribute. This means that the module system doesn't have any means to identify the module that should be disabled. Make sure that you've put the correct value in disabledModules: a string path relative to modulesPath, a path value, or an attribute set with a `key` attribute."
    else
      throw "Each disabledModules item must be a path, string, or a attribute set with a key attribute, or a value supported by toString. However, one of the disabledModules items in `${toString file}` is none of that, but is of type ${typeOf m}.";

  # A module in any of its spellings as
  # { _file; _class; key; disabledModules; imports; options; config; }.
  loadModule =
    moduleArgs: file: key: m:
    if lib.isFunction m then
      unifyModule file key (applyModule file moduleArgs m)
    else if isAttrs m then
      let
        kind = m._type or "module";
      in
      if kind == "module" then
        unifyModule file key m
      else if kind == "if" || kind == "override" then
        unifyModule file key { config = m; }
      else
        throw (notAModule moduleArgs file m)
    else if isList m then
      throw "Module imports can't be nested lists. Perhaps you meant to remove one level of lists? Definitions: ${
        showDefs [
          {
            inherit file;
            value = m;
          }
        ]
      }"
    else
      let
        path = toString m;
        loaded = import m;
      in
      unifyModule path path (
        if lib.isFunction loaded then applyModule path moduleArgs loaded else loaded
      );

  notAModule =
    moduleArgs: file: m:
    "Expected a module, but found a value of type ${quote m._type}${
      optionalString (file != unknownModule) ", while trying to load a module into `${toString file}`"
    }${
      optionalString (
        m._type == "configuration"
      ) ". This is the result of an evaluation; import the modules that it was made of instead"
    }${
      optionalString (m._type == "flake") ". Perhaps you meant to import one of the modules of the flake"
    }.";

  # Arguments that are not given come from _module.args, looked up when used.
  applyModule =
    file: moduleArgs: f:
    f (
      moduleArgs
      // mapAttrs (
        name: _:
        addErrorContext "while evaluating the module argument `${name}' in \"${toString file}\":" (
          moduleArgs.${name} or (addErrorContext
            "noting that argument `${name}` is not externally provided, so querying `_module.args` instead, requiring `config`"
            moduleArgs.config._module.args.${name}
          )
        )
      ) (lib.functionArgs f)
    );

  unifyModule =
    file: key: m:
    let
      common = [
        "_class"
        "_file"
        "key"
        "disabledModules"
        "imports"
        "freeformType"
      ];
      stray = removeAttrs m (
        common
        ++ [
          "options"
          "config"
          "meta"
          "_type"
        ]
      );
      extra =
        optional (m ? freeformType) { _module.freeformType = m.freeformType; }
        ++ optional (m ? meta && long) { inherit (m) meta; };
      withExtra = config: if extra == [ ] then config else mkMerge ([ config ] ++ extra);
      long = m ? config || m ? options;
    in
    if !isAttrs m then
      throw "module ${toString file} (${toString key}) does not look like a module."
    else
      {
        _file = toString (m._file or file);
        _class = m._class or null;
        key = toString (m.key or key);
        disabledModules = m.disabledModules or [ ];
      }
      // (
        if !long then
          {
            imports = m.require or [ ] ++ m.imports or [ ];
            options = { };
            config = withExtra (removeAttrs m (common ++ [ "require" ]));
          }
        else if stray != { } then
          throw "Module `${toString key}' has an unsupported attribute `${head (attrNames stray)}'. This is caused by introducing a top-level `config' or `options' attribute. Add configuration attributes immediately on the top level instead, or move all of them (namely: ${toString (attrNames stray)}) into the explicit `config' attribute."
        else
          {
            imports = m.imports or [ ];
            options = m.options or { };
            config = withExtra (m.config or { });
          }
      );

  setDefaultModuleLocation = file: m: {
    _file = file;
    imports = [ m ];
  };
  importApply = path: static: setDefaultModuleLocation path (import path static);
  importJSON = file: {
    _file = file;
    config = lib.trivial.importJSON file;
  };
  importTOML = file: {
    _file = file;
    config = lib.trivial.importTOML file;
  };

  # { matchedOptions; unmatchedDefns; } of all modules, from `prefix` downwards.
  mergeModules =
    prefix: modules:
    mergeModules' prefix modules (
      concatMap (
        m:
        map (config: {
          file = m._file;
          inherit config;
        }) (pushDownProperties m.config)
      ) modules
    );

  mergeModules' =
    prefix: modules: configs:
    let
      declsByName = zipAttrsWith (_: decls: decls) (
        map (
          m:
          if isAttrs m.options then
            mapAttrs (n: options: {
              inherit (m) _file;
              inherit options;
              pos = builtins.unsafeGetAttrPos n m.options;
            }) m.options
          else
            throw ''
              An option declaration for `${concatStringsSep "." prefix}' has type
              `${typeOf m.options}' rather than an attribute set.
              Did you mean to define this outside of `options'?
            ''
        ) modules
      );
      checkedConfigs = map (
        c:
        if isAttrs c.config then
          c
        else
          throw ''
            In module `${c.file}', you're trying to define a value of type `${typeOf c.config}'
            rather than an attribute set for the option
            `${concatStringsSep "." prefix}'!

            This usually happens if `${concatStringsSep "." prefix}' has option
            definitions inside that are not matched. Please check how to properly define
            this option by e.g. referring to `man 5 configuration.nix'!
          ''
      ) configs;
      # As written, for what an option or the freeform type will merge.
      rawByName = zipAttrsWith (_: defs: defs) (
        map (
          c:
          mapAttrs (_: value: {
            inherit (c) file;
            inherit value;
          }) c.config
        ) checkedConfigs
      );
      # With mkIf, mkMerge and mkOverride moved inwards, for deeper levels.
      pushed =
        name:
        concatMap (
          def:
          map (config: {
            inherit (def) file;
            inherit config;
          }) (pushDownProperties def.value)
        ) (rawByName.${name} or [ ]);

      results = mapAttrs (
        name: decls:
        let
          loc = prefix ++ [ name ];
          isDeclared = d: isOption d.options || d.options ? _type && throwNotOption loc d;
          opts = filter (d: isAttrs d.options && isDeclared d) decls;
          asOption = ds: {
            matchedOptions = evalOptionValue loc (fixupOptionType loc (mergeOptionDecls loc ds)) (
              rawByName.${name} or [ ]
            );
            unmatchedDefns = [ ];
          };
        in
        if length opts == length decls then
          asOption decls
        else if opts == [ ] then
          mergeModules' loc decls (pushed name)
        else if all (d: d.options.type.name or null == "submodule") opts then
          # Options below an option of type submodule become part of it.
          asOption (map treeToOption decls)
        else
          throw "The option `${showOption loc}' in module `${(head opts)._file}' would be a parent of the following options, but its type `${
            (head opts).options.type.description or "<no description>"
          }' does not support nested options.\n${
            concatMapStringsSep "\n" (
              d: " - option(s) with prefix `${showOption (loc ++ [ (head (attrNames d.options)) ])}' in module `${d._file}'"
            ) (filter (d: !isOption d.options) decls)
          }"
      ) declsByName;
    in
    {
      matchedOptions = mapAttrs (_: r: r.matchedOptions) results;
      unmatchedDefns =
        concatLists (
          lib.mapAttrsToList (
            name: r: map (d: d // { prefix = [ name ] ++ d.prefix; }) r.unmatchedDefns
          ) results
        )
        ++ concatLists (
          lib.mapAttrsToList (name: map (d: d // { prefix = [ name ]; })) (
            removeAttrs rawByName (attrNames declsByName)
          )
        );
    };

  treeToOption =
    d:
    if isOption d.options then
      d
    else
      d
      // {
        options = mkOption {
          type = types.submoduleWith {
            modules = [ { inherit (d) options; } ];
            # Whatever the real option says.
            shorthandOnlyDefinesConfig = null;
          };
        };
      };

  throwNotOption =
    loc: d:
    throw (
      "In module ${d._file}: expected an option declaration at option path `${showOption loc}` but got an attribute set with type ${d.options._type}"
      + optionalString (d.options._type == "option-type") ''


        When declaring an option, you must wrap the type in a `mkOption` call. It should look somewhat like:

            ${lib.strings.escapeNixIdentifier (last loc)} = lib.mkOption {
              description = ...;
              type = <the type you wrote for ${lib.strings.escapeNixIdentifier (last loc)}>;
              ...
            };
      ''
    );

  # Several declarations of one option as one, with the modules of its submodules
  # in `options`.
  mergeOptionDecls =
    loc:
    foldl'
      (
        res: decl:
        let
          opt = decl.options;
          both = field: opt ? ${field} && res ? ${field};
          mergedType = res.type.typeMerge opt.type.functor;
          conflict = throw "The option `${showOption loc}' in `${decl._file}' is already declared in ${showFiles res.declarations}.";
          subModules = opt.type.getSubModules or null;
        in
        if both "default" || both "example" || both "description" || both "apply" then
          conflict
        else
          opt
          // res
          // {
            declarations = res.declarations ++ [ decl._file ];
            declarationPositions =
              res.declarationPositions
              ++ optional (decl.pos or null != null) decl.pos;
            options =
              if subModules == null then
                res.options
              else
                map (setDefaultModuleLocation decl._file) subModules ++ res.options;
          }
          // optionalAttrs (both "type") {
            type = if mergedType == null then conflict else mergedType;
          }
      )
      {
        inherit loc;
        declarations = [ ];
        declarationPositions = [ ];
        options = [ ];
      };

  fixupOptionType =
    loc: opt:
    if opt.type.getSubModules or null == null then
      opt // { type = opt.type or types.unspecified; }
    else
      opt
      // {
        type = opt.type.substSubModules opt.options;
        options = [ ];
      };

  # An option together with what its definitions amount to.
  evalOptionValue =
    loc: opt: defs:
    let
      all' =
        optional (opt ? default) {
          file = head (opt.declarations or [ ] ++ [ unknownModule ]);
          value = mkOptionDefault opt.default;
        }
        ++ defs;
      type = opt.type or types.unspecified;
      merged =
        if opt.readOnly or false && length all' > 1 then
          throw "The option `${showOption loc}' is read-only, but it's set multiple times. Definition values:${
            showDefs (map (d: d // { value = (mergeDefinitions loc type [ d ]).mergedValue; }) all')
          }"
        else
          mergeDefinitions loc type all';
      value = addErrorContext "while evaluating the option `${showOption loc}':" (
        if opt ? apply then opt.apply merged.mergedValue else merged.mergedValue
      );
      warned =
        if type.deprecationMessage or null == null then
          value
        else
          lib.warn "The type `types.${type.name}' of option `${showOption loc}' defined in ${showFiles opt.declarations} is deprecated. ${type.deprecationMessage}" value;
    in
    opt
    // {
      value = warned;
      inherit (merged.defsFinal') highestPrio;
      definitions = map (d: d.value) merged.defsFinal;
      files = map (d: d.file) merged.defsFinal;
      definitionsWithLocations = merged.defsFinal;
      inherit (merged) isDefined;
      __toString = _: showOption loc;
    };

  mergeDefinitions =
    loc: type: defs:
    rec {
      defsFinal' =
        let
          plain = concatMap (
            d:
            map (
              value: if value._type or null == "definition" then value else d // { inherit value; }
            ) (addErrorContext "while evaluating definitions from `${d.file}':" (dischargeProperties d.value))
          ) defs;
          filtered = filterOverrides' plain;
        in
        {
          values =
            if builtins.any (d: d.value._type or null == "order") filtered.values then
              sortProperties filtered.values
            else
              filtered.values;
          inherit (filtered) highestPrio;
        };
      defsFinal = defsFinal'.values;
      isDefined = defsFinal != [ ];
      mergedValue =
        let
          wrong = filter (d: !type.check d.value) defsFinal;
        in
        if !isDefined then
          type.emptyValue.value
            or (throw "The option `${showOption loc}' was accessed but has no value defined. Try setting the option.")
        else if wrong != [ ] then
          throw "A definition for option `${showOption loc}' is not of type `${type.description}'. Definition values:${showDefs wrong}"
        else
          type.merge loc defsFinal;
      optionalValue = if isDefined then { value = mergedValue; } else { };
    };

  # mkIf, mkMerge and mkOverride around an attribute set become such around each
  # of its values, so that the set can be looked into without deciding them.
  pushDownProperties =
    cfg:
    let
      kind = cfg._type or "";
    in
    if kind == "merge" then
      concatMap pushDownProperties cfg.contents
    else if kind == "if" then
      map (mapAttrs (_: mkIf cfg.condition)) (pushDownProperties cfg.content)
    else if kind == "override" then
      map (mapAttrs (_: mkOverride cfg.priority)) (pushDownProperties cfg.content)
    else
      [ cfg ];

  dischargeProperties =
    def:
    let
      kind = def._type or "";
    in
    if kind == "merge" then
      concatMap dischargeProperties def.contents
    else if kind == "if" then
      if !builtins.isBool def.condition then
        throw "‘mkIf’ called with a non-Boolean condition"
      else if def.condition then
        dischargeProperties def.content
      else
        [ ]
    else
      [ def ];

  # Only the definitions of the strongest (numerically lowest) priority count.
  filterOverrides = defs: (filterOverrides' defs).values;
  filterOverrides' =
    defs:
    let
      isOverride = d: d.value._type or "" == "override";
      priority = d: if isOverride d then d.value.priority else defaultOverridePriority;
      highestPrio = foldl' (p: d: lib.min p (priority d)) 9999 defs;
    in
    {
      values = map (d: if isOverride d then d // { value = d.value.content; } else d) (
        filter (d: priority d == highestPrio) defs
      );
      inherit highestPrio;
    };

  sortProperties =
    defs:
    let
      strip =
        d:
        if d.value._type or "" == "order" then
          d
          // {
            value = d.value.content;
            inherit (d.value) priority;
          }
        else
          d;
      priority = d: d.priority or defaultOrderPriority;
    in
    builtins.sort (a: b: priority a < priority b) (map strip defs);

  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };
  mkAssert = assertion: message: mkIf (assertion || throw "\nFailed assertion: ${message}");
  mkMerge = contents: {
    _type = "merge";
    inherit contents;
  };
  mkOverride = priority: content: {
    _type = "override";
    inherit priority content;
  };
  mkOptionDefault = mkOverride 1500;
  mkDefault = mkOverride 1000;
  defaultOverridePriority = 100;
  mkImageMediaOverride = mkOverride 60;
  mkForce = mkOverride 50;
  mkVMOverride = mkOverride 10;
  mkFixStrictness = lib.id;
  mkOrder = priority: content: {
    _type = "order";
    inherit priority content;
  };
  mkBefore = mkOrder 500;
  defaultOrderPriority = 1000;
  mkAfter = mkOrder 1500;
  mkDefinition = def: def // { _type = "definition"; };

  # Passes definitions on from one option to another.
  mkAliasDefinitions = mkAliasAndWrapDefinitions lib.id;
  mkAliasAndWrapDefinitions = wrap: option: ifDefined option (wrap (mkMerge option.definitions));
  mkAliasAndWrapDefsWithPriority =
    wrap: option:
    ifDefined option (
      wrap (
        mkMerge (map (mkOverride (option.highestPrio or defaultOverridePriority)) option.definitions)
      )
    );
  ifDefined = option: mkIf (isOption option && option.isDefined);
  mkDerivedConfig = opt: f: mkOverride (opt.highestPrio or defaultOverridePriority) (f opt.value);
}
// import ./renames.nix { inherit lib; }
