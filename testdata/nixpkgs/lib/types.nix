# Option types: what a value must look like, and how several definitions of one
# option become one value.
{ lib }:
let
  inherit (builtins)
    all
    attrNames
    concatLists
    elem
    filter
    foldl'
    head
    isAttrs
    isFunction
    isInt
    isList
    isString
    length
    ;
  inherit (lib)
    concatMapStringsSep
    concatStringsSep
    getFiles
    getValues
    imap1
    last
    mergeDefinitions
    mergeEqualOption
    mergeOneOption
    mergeUniqueOption
    optionalAttrs
    showFiles
    showOption
    zipAttrsWith
    ;

  # A type's description, in parentheses where the sentence needs them.
  phrase = bare: t: if bare (t.descriptionClass or null) then t.description else "(${t.description})";
  nounPhrase = phrase (c: c == "noun");
  compositePhrase = phrase (c: c == "noun" || c == "composite");
  compositeOr = phrase (c: c == "noun" || c == "conjunction" || c == "composite");
  outerPhrase = phrase (c: c == "noun" || c == "conjunction");

  typeNamed =
    name: description: check: extra:
    mkOptionType (
      {
        inherit name description check;
        descriptionClass = "noun";
        merge = mergeEqualOption;
      }
      // extra
    );

  mkOptionType =
    {
      name,
      description ? name,
      descriptionClass ? null,
      check ? (_: true),
      merge ? lib.mergeDefaultOption,
      # { value = …; } is what an option without definitions amounts to.
      emptyValue ? { },
      getSubOptions ? (_: { }),
      getSubModules ? null,
      substSubModules ? (_: null),
      # How two declarations of one option with this type become one type.
      typeMerge ? defaultTypeMerge functor,
      functor ? defaultFunctor name,
      deprecationMessage ? null,
      nestedTypes ? { },
    }:
    {
      _type = "option-type";
      inherit
        name
        description
        descriptionClass
        check
        merge
        emptyValue
        getSubOptions
        getSubModules
        substSubModules
        typeMerge
        functor
        deprecationMessage
        nestedTypes
        ;
    };

  defaultFunctor = name: {
    inherit name;
    type = types.${name} or null;
    wrapped = null;
    payload = null;
    binOp = _: _: null;
  };
  # Two types merge if they are of one kind and their parameters merge.
  defaultTypeMerge =
    f: f':
    let
      payload = f.binOp f.payload f'.payload;
    in
    if f.name != f'.name then
      null
    else if f.payload == null && f'.payload == null then
      f.type
    else if f.payload != null && f'.payload != null && payload != null then
      f.type payload
    else
      null;

  # The functor of a type made from one other type.
  elemFunctor = name: rebuild: elemType: {
    inherit name;
    type = { elemType }: rebuild elemType;
    wrapped = null;
    payload = { inherit elemType; };
    binOp =
      a: b:
      let
        merged = a.elemType.typeMerge b.elemType.functor;
      in
      if merged == null then null else { elemType = merged; };
  };

  isOptionType = lib.isType "option-type";
  escapeShown =
    v:
    if isString v then
      ''"${v}"''
    else if isInt v then
      toString v
    else if builtins.isBool v then
      lib.boolToString v
    else
      "<${builtins.typeOf v}>";

  ints =
    let
      between =
        lowest: highest:
        assert lib.assertMsg (lowest <= highest) "ints.between: lowest must be smaller than highest";
        lib.types.addCheck types.int (x: x >= lowest && x <= highest)
        // {
          name = "intBetween";
          description = "integer between ${range lowest highest}";
        };
      range = lowest: highest: "${toString lowest} and ${toString highest} (both inclusive)";
      sized =
        kind: bits: lowest: highest:
        between lowest highest
        // {
          name = "${if kind == "unsigned" then "unsignedInt" else "signedInt"}${toString bits}";
          description = "${toString bits} bit ${kind} integer; between ${range lowest highest}";
        };
      restricted =
        name: description: check:
        lib.types.addCheck types.int check
        // {
          inherit name description;
          descriptionClass = "nonRestrictiveClause";
        };
    in
    {
      inherit between;
      unsigned = restricted "unsignedInt" "unsigned integer, meaning >=0" (x: x >= 0);
      positive = restricted "positiveInt" "positive integer, meaning >0" (x: x > 0);
      u8 = sized "unsigned" 8 0 255;
      u16 = sized "unsigned" 16 0 65535;
      u32 = sized "unsigned" 32 0 4294967295;
      s8 = sized "signed" 8 (-128) 127;
      s16 = sized "signed" 16 (-32768) 32767;
      s32 = sized "signed" 32 (-2147483648) 2147483647;
    };

  types = rec {
    inherit ints isOptionType;

    raw = typeNamed "raw" "raw value" (_: true) { merge = mergeOneOption; };
    unspecified = mkOptionType {
      name = "unspecified";
      description = "unspecified value";
      descriptionClass = "noun";
    };

    # Merges whatever can be merged: attribute sets by name, the rest if equal.
    anything = typeNamed "anything" "anything" (_: true) {
      merge =
        loc: defs:
        let
          kind =
            v:
            if isAttrs v && lib.strings.isStringLike v then
              "stringCoercibleSet"
            else
              builtins.typeOf v;
          kinds = lib.unique (map kind (getValues defs));
          byKind = {
            set = (lazyAttrsOf anything).merge;
            list =
              loc: defs: if length defs > 1 then concatLists (getValues defs) else (head defs).value;
            lambda =
              loc: defs: x:
              anything.merge (loc ++ [ "<function body>" ]) (
                map (d: {
                  inherit (d) file;
                  value = d.value x;
                }) defs
              );
            stringCoercibleSet = mergeOneOption;
          };
        in
        if length kinds != 1 then
          throw "The option `${showOption loc}' has conflicting option types in ${showFiles (getFiles defs)}"
        else
          (byKind.${head kinds} or mergeEqualOption) loc defs;
    };

    bool = typeNamed "bool" "boolean" builtins.isBool { };
    boolByOr = typeNamed "boolByOr" "boolean (merged using or)" builtins.isBool {
      merge = _: defs: elem true (getValues defs);
    };
    int = typeNamed "int" "signed integer" isInt { };
    float = typeNamed "float" "floating point number" builtins.isFloat { };
    number = either int float;
    numbers = {
      between =
        lowest: highest:
        addCheck number (x: x >= lowest && x <= highest)
        // {
          name = "numberBetween";
          description = "integer or floating point number between ${toString lowest} and ${toString highest} (both inclusive)";
        };
      nonnegative =
        addCheck number (x: x >= 0)
        // {
          name = "numberNonnegative";
          description = "nonnegative integer or floating point number, meaning >=0";
          descriptionClass = "nonRestrictiveClause";
        };
      positive =
        addCheck number (x: x > 0)
        // {
          name = "numberPositive";
          description = "positive integer or floating point number, meaning >0";
          descriptionClass = "nonRestrictiveClause";
        };
    };
    port = ints.u16;

    str = typeNamed "str" "string" isString { };
    nonEmptyStr = typeNamed "nonEmptyStr" "non-empty string" (
      s: isString s && builtins.match "[ \t\n]*" s == null
    ) { };
    singleLineStr =
      typeNamed "singleLineStr" "(optionally newline-terminated) single-line string"
        (s: isString s && builtins.match "[^\n\r]*\n?" s != null)
        {
          merge = loc: defs: lib.removeSuffix "\n" (mergeEqualOption loc defs);
        };
    strMatching =
      pattern:
      typeNamed "strMatching ${lib.strings.escapeNixString pattern}"
        "string matching the pattern ${pattern}"
        (s: isString s && builtins.match pattern s != null)
        {
          functor = defaultFunctor "strMatching" // {
            type = payload: strMatching payload.pattern;
            payload = { inherit pattern; };
            binOp = a: b: if a == b then a else null;
          };
        };
    separatedString =
      sep:
      typeNamed "separatedString" (
        if sep == "" then "Concatenated string" else "strings concatenated with ${builtins.toJSON sep}"
      ) isString {
        merge = _: defs: concatStringsSep sep (getValues defs);
        functor = defaultFunctor "separatedString" // {
          type = payload: separatedString payload.sep;
          payload = { inherit sep; };
          binOp = a: b: if a.sep == b.sep then a else null;
        };
      };
    lines = separatedString "\n";
    commas = separatedString ",";
    envVar = separatedString ":";
    passwdEntry =
      entry:
      addCheck entry (s: builtins.match "[^:\n]*" s != null)
      // {
        name = "passwdEntry ${entry.name}";
        description = "${phrase (c: c == "noun") entry}, not containing newlines or colons";
        descriptionClass = "nonRestrictiveClause";
      };

    attrs = mkOptionType {
      name = "attrs";
      description = "attribute set";
      check = isAttrs;
      emptyValue.value = { };
      merge = _: defs: lib.mergeAttrsList (getValues defs);
    };

    package = mkOptionType {
      name = "package";
      descriptionClass = "noun";
      check = x: lib.isDerivation x || lib.isStorePath x;
      merge =
        loc: defs:
        let
          value = mergeOneOption loc defs;
        in
        if builtins.isPath value || isString value && !builtins.hasContext value then
          lib.toDerivation value
        else
          value;
    };
    shellPackage = package // {
      check = x: lib.isDerivation x && x ? shellPath;
    };
    pkgs =
      addCheck
        (typeNamed "pkgs" "Nixpkgs package set" isAttrs { merge = mergeOneOption; })
        (x: x._type or null == "pkgs");

    path = typeNamed "path" "absolute path" (
      x: lib.strings.isStringLike x && builtins.substring 0 1 (toString x) == "/"
    ) { };
    pathInStore = typeNamed "path" "path in the Nix store" (
      x:
      lib.strings.isStringLike x
      && builtins.match "${builtins.storeDir}/[^.].*" (toString x) != null
    ) { };
    externalPath = typeNamed "path" "absolute path not in the Nix store" (
      x:
      lib.strings.isStringLike x
      && builtins.substring 0 1 (toString x) == "/"
      && !lib.hasPrefix builtins.storeDir (toString x)
    ) { };
    pathWith =
      {
        inStore ? null,
        absolute ? null,
      }:
      typeNamed "path" "path" (
        x:
        lib.strings.isStringLike x
        && (absolute == null || absolute == (builtins.substring 0 1 (toString x) == "/"))
        && (inStore == null || inStore == lib.hasPrefix builtins.storeDir (toString x))
      ) { };

    listOf =
      elemType:
      mkOptionType rec {
        name = "listOf";
        description = "list of ${compositePhrase elemType}";
        descriptionClass = "composite";
        check = isList;
        merge =
          loc: defs:
          map (x: x.value) (
            filter (x: x ? value) (
              concatLists (
                imap1 (
                  n: def:
                  imap1 (
                    m: value:
                    let
                      entry = "[definition ${toString n}-entry ${toString m}]";
                    in
                    (mergeDefinitions (loc ++ [ entry ]) elemType [
                      {
                        inherit (def) file;
                        inherit value;
                      }
                    ]).optionalValue
                  ) def.value
                ) defs
              )
            )
          );
        emptyValue.value = [ ];
        getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "*" ]);
        inherit (elemType) getSubModules;
        substSubModules = m: listOf (elemType.substSubModules m);
        functor = elemFunctor name listOf elemType;
        nestedTypes.elemType = elemType;
      };
    nonEmptyListOf =
      elemType:
      addCheck (listOf elemType) (xs: xs != [ ])
      // {
        description = "non-empty ${nounPhrase (listOf elemType)}";
        emptyValue = { };
        substSubModules = m: nonEmptyListOf (elemType.substSubModules m);
      };

    attrsOf = elemType: attrsWith { inherit elemType; };
    # Names are known without evaluating the values; mkIf false leaves a hole.
    lazyAttrsOf =
      elemType:
      attrsWith {
        inherit elemType;
        lazy = true;
      };
    attrsWith =
      {
        elemType,
        lazy ? false,
        placeholder ? "name",
      }:
      let
        name = if lazy then "lazyAttrsOf" else "attrsOf";
      in
      mkOptionType {
        inherit name;
        description = "${if lazy then "lazy " else ""}attribute set of ${compositePhrase elemType}";
        descriptionClass = "composite";
        check = isAttrs;
        merge =
          loc: defs:
          let
            # Every definition as { name = { file; value; }; }.
            pushed = map (
              def:
              builtins.mapAttrs (_: value: {
                inherit (def) file;
                inherit value;
              }) def.value
            ) defs;
            merged = zipAttrsWith (n: mergeDefinitions (loc ++ [ n ]) elemType) pushed;
          in
          if lazy then
            builtins.mapAttrs (
              _: m: m.optionalValue.value or elemType.emptyValue.value or m.mergedValue
            ) merged
          else
            builtins.mapAttrs (_: m: m.optionalValue.value) (
              lib.filterAttrs (_: m: m.optionalValue ? value) merged
            );
        emptyValue.value = { };
        getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "<${placeholder}>" ]);
        inherit (elemType) getSubModules;
        substSubModules =
          m:
          attrsWith {
            elemType = elemType.substSubModules m;
            inherit lazy placeholder;
          };
        functor = (elemFunctor "attrsWith" (_: null) elemType) // {
          type = attrsWith;
          payload = { inherit elemType lazy placeholder; };
          binOp =
            a: b:
            let
              merged = a.elemType.typeMerge b.elemType.functor;
            in
            if merged == null || a.lazy != b.lazy then
              null
            else
              {
                elemType = merged;
                inherit (a) lazy;
                placeholder = if a.placeholder == "name" then b.placeholder else a.placeholder;
              };
        };
        nestedTypes.elemType = elemType;
      };

    # Exactly one of several named choices: { tag = value; }.
    attrTag =
      tags:
      let
        choices = concatMapStringsSep ", " lib.strings.escapeNixIdentifier (attrNames tags);
        options = builtins.mapAttrs (
          n: opt:
          lib.throwIf (
            opt._type or null != "option"
          ) "In attrTag, each tag value must be an option, but tag ${n} has another type." (
            opt
            // {
              declarations = opt.declarations or [ ];
              declarationPositions = opt.declarationPositions or [ ];
            }
          )
        ) tags;
      in
      mkOptionType {
        name = "attrTag";
        description = "attribute-tagged union with choices: ${choices}";
        descriptionClass = "noun";
        getSubOptions =
          prefix: builtins.mapAttrs (n: opt: opt // { loc = prefix ++ [ n ]; }) options;
        check = v: isAttrs v && length (attrNames v) == 1 && options ? ${head (attrNames v)};
        merge =
          loc: defs:
          let
            choice = head (attrNames (head defs).value);
            checked = map (
              def:
              if attrNames def.value != [ choice ] then
                throw "The option `${showOption loc}` is defined both as `${choice}` and `${head (attrNames def.value)}`, in ${showFiles (getFiles defs)}."
              else
                {
                  inherit (def) file;
                  value = def.value.${choice};
                }
            ) defs;
          in
          {
            ${choice} = (lib.evalOptionValue (loc ++ [ choice ]) options.${choice} checked).value;
          };
        functor = defaultFunctor "attrTag" // {
          type = { tags, ... }: attrTag tags;
          payload = { inherit tags; };
          binOp =
            a: b:
            if builtins.intersectAttrs a.tags b.tags == { } then
              { tags = a.tags // b.tags; }
            else
              null;
        };
      };

    uniq = unique { message = ""; };
    unique =
      { message }:
      type:
      mkOptionType rec {
        name = "unique";
        inherit (type)
          description
          descriptionClass
          check
          emptyValue
          getSubOptions
          getSubModules
          ;
        merge = mergeUniqueOption {
          inherit message;
          inherit (type) merge;
        };
        substSubModules = m: uniq (type.substSubModules m);
        functor = elemFunctor name (unique { inherit message; }) type;
        nestedTypes.elemType = type;
      };

    nullOr =
      elemType:
      mkOptionType rec {
        name = "nullOr";
        description = "null or ${
          phrase (c: c == "noun" || c == "conjunction") elemType
        }";
        descriptionClass = "conjunction";
        check = x: x == null || elemType.check x;
        merge =
          loc: defs:
          let
            nulls = filter (d: d.value == null) defs;
          in
          if length nulls == length defs then
            null
          else if nulls != [ ] then
            throw "The option `${showOption loc}` is defined both null and not null, in ${showFiles (getFiles defs)}."
          else
            elemType.merge loc defs;
        emptyValue.value = null;
        inherit (elemType) getSubOptions getSubModules;
        substSubModules = m: nullOr (elemType.substSubModules m);
        functor = elemFunctor name nullOr elemType;
        nestedTypes.elemType = elemType;
      };

    functionTo =
      elemType:
      mkOptionType rec {
        name = "functionTo";
        description = "function that evaluates to a(n) ${compositePhrase elemType}";
        descriptionClass = "composite";
        check = lib.isFunction;
        merge =
          loc: defs:
          let
            args = map (d: lib.functionArgs d.value) defs;
          in
          lib.setFunctionArgs (
            x:
            (mergeDefinitions (loc ++ [ "<function body>" ]) elemType (
              map (d: d // { value = d.value x; }) defs
            )).mergedValue
          ) (zipAttrsWith (_: all (optional: optional)) args);
        getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "<function body>" ]);
        inherit (elemType) getSubModules;
        substSubModules = m: functionTo (elemType.substSubModules m);
        functor = elemFunctor name functionTo elemType;
        nestedTypes.elemType = elemType;
      };

    submodule =
      modules:
      submoduleWith {
        shorthandOnlyDefinesConfig = true;
        modules = lib.toList modules;
      };
    submoduleWith =
      {
        modules,
        specialArgs ? { },
        shorthandOnlyDefinesConfig ? false,
        description ? null,
        class ? null,
      }@attrs:
      let
        base = lib.evalModules {
          inherit class specialArgs;
          modules = [ { _module.args.name = lib.mkOptionDefault "‹name›"; } ] ++ modules;
        };
        # Documentation asks for the options where undeclared ones may be defined.
        documented = base.extendModules { modules = [ { _module.check = false; } ]; };
        freeform = base._module.freeformType;
        asModule =
          { file, value, ... }:
          if isAttrs value && shorthandOnlyDefinesConfig then
            {
              _file = file;
              config = value;
            }
          else
            {
              _file = file;
              imports = [ value ];
            };
      in
      mkOptionType {
        name = "submodule";
        description =
          if description != null then
            description
          else if freeform ? description then
            "open submodule of ${compositePhrase freeform}"
          else
            "submodule";
        check = x: isAttrs x || isFunction x || path.check x;
        merge =
          loc: defs:
          (base.extendModules {
            modules = [ { _module.args.name = last loc; } ] ++ map asModule defs;
            prefix = loc;
          }).config;
        emptyValue.value = { };
        getSubOptions =
          prefix:
          (documented.extendModules { inherit prefix; }).options
          // optionalAttrs (freeform != null) {
            _freeformOptions = freeform.getSubOptions prefix;
          };
        getSubModules = modules;
        substSubModules = m: submoduleWith (attrs // { modules = m; });
        nestedTypes = optionalAttrs (freeform != null) { freeformType = freeform; };
        functor = defaultFunctor "submodule" // {
          type = submoduleWith;
          payload = {
            inherit
              modules
              class
              specialArgs
              shorthandOnlyDefinesConfig
              description
              ;
          };
          binOp =
            a: b:
            let
              both = attrNames (builtins.intersectAttrs a.specialArgs b.specialArgs);
              either =
                field: what:
                if a.${field} == null then
                  b.${field}
                else if b.${field} == null || a.${field} == b.${field} then
                  a.${field}
                else
                  throw "A submoduleWith option is declared multiple times with conflicting ${what}";
            in
            {
              modules = a.modules ++ b.modules;
              class = either "class" ''class values "${toString a.class}" and "${toString b.class}".'';
              specialArgs =
                if both == [ ] then
                  a.specialArgs // b.specialArgs
                else
                  throw ''A submoduleWith option is declared multiple times with the same specialArgs "${toString both}"'';
              shorthandOnlyDefinesConfig = either "shorthandOnlyDefinesConfig" "shorthandOnlyDefinesConfig values";
              description = either "description" "descriptions";
            };
        };
      };

    # A module that is merged now and evaluated later, somewhere else.
    deferredModule = deferredModuleWith { };
    deferredModuleWith =
      {
        staticModules ? [ ],
      }:
      mkOptionType {
        name = "deferredModule";
        description = "module";
        descriptionClass = "noun";
        check = x: isAttrs x || isFunction x || path.check x;
        merge = loc: defs: {
          imports =
            staticModules
            ++ map (
              def: lib.setDefaultModuleLocation "${def.file}, via option ${showOption loc}" def.value
            ) defs;
        };
        inherit (submoduleWith { modules = staticModules; }) getSubOptions getSubModules;
        substSubModules = m: deferredModuleWith { staticModules = m; };
        functor = defaultFunctor "deferredModuleWith" // {
          type = deferredModuleWith;
          payload = { inherit staticModules; };
          binOp = a: b: { staticModules = lib.unique (a.staticModules ++ b.staticModules); };
        };
      };

    optionType = mkOptionType {
      name = "optionType";
      description = "optionType";
      descriptionClass = "noun";
      check = isOptionType;
      # Two types for one thing are merged as two declarations would be.
      merge =
        loc: defs:
        if length defs == 1 then
          (head defs).value
        else
          (lib.fixupOptionType loc (
            lib.mergeOptionDecls loc (
              map (
                { value, file }:
                {
                  _file = file;
                  pos = null;
                  options = lib.mkOption { type = value; };
                }
              ) defs
            )
          )).type;
    };
    optionDeclaration = mkOptionType {
      name = "optionDeclaration";
      description = "option declaration";
      descriptionClass = "noun";
      check = lib.isType "option";
      merge =
        loc: defs:
        lib.mergeOptionDecls loc (
          map (def: {
            _file = def.file;
            pos = null;
            options = def.value;
          }) defs
        );
    };

    enum =
      values:
      typeNamed "enum"
        (
          if values == [ ] then
            "impossible (empty enum)"
          else if length values == 1 then
            "value ${escapeShown (head values)} (singular enum)"
          else
            "one of ${concatMapStringsSep ", " escapeShown values}"
        )
        (x: elem x values)
        {
          descriptionClass = if length values < 2 then "noun" else "conjunction";
          functor = defaultFunctor "enum" // {
            type = payload: enum payload.values;
            payload = { inherit values; };
            binOp = a: b: { values = lib.unique (a.values ++ b.values); };
          };
        };

    either =
      t1: t2:
      mkOptionType rec {
        name = "either";
        description =
          if t1.descriptionClass or null == "nonRestrictiveClause" then
            "${t1.description}, or ${compositeOr t2}"
          else
            "${outerPhrase t1} or ${compositeOr t2}";
        descriptionClass = "conjunction";
        check = x: t1.check x || t2.check x;
        merge =
          loc: defs:
          let
            values = getValues defs;
          in
          if all t1.check values then
            t1.merge loc defs
          else if all t2.check values then
            t2.merge loc defs
          else
            mergeOneOption loc defs;
        functor = defaultFunctor name // {
          type = payload: either payload.left payload.right;
          payload = {
            left = t1;
            right = t2;
          };
          binOp =
            a: b:
            let
              left = a.left.typeMerge b.left.functor;
              right = a.right.typeMerge b.right.functor;
            in
            if left == null || right == null then null else { inherit left right; };
        };
        nestedTypes = {
          left = t1;
          right = t2;
        };
      };
    oneOf =
      ts:
      if ts == [ ] then
        throw "types.oneOf needs to get at least one type in its argument"
      else
        foldl' either (head ts) (builtins.tail ts);

    # Accepts what coerced type accepts too, turned into the final type.
    coercedTo =
      coerced: coerce: final:
      lib.throwIf (coerced.getSubModules != null)
        "coercedTo: coercedType must not have submodules (it’s a ${coerced.description})"
        (mkOptionType {
          name = "coercedTo";
          description = "${nounPhrase final} or ${nounPhrase coerced} convertible to it";
          check = x: (coerced.check x && final.check (coerce x)) || final.check x;
          merge =
            loc: defs:
            final.merge loc (
              map (
                def:
                def
                // {
                  value =
                    let
                      once = mergeDefinitions loc coerced [ def ];
                    in
                    if coerced.check def.value then coerce once.mergedValue else def.value;
                }
              ) defs
            );
          inherit (final) emptyValue getSubOptions getSubModules;
          substSubModules = m: coercedTo coerced coerce (final.substSubModules m);
          typeMerge = _: null;
          functor = defaultFunctor "coercedTo" // {
            wrapped = final;
          };
          nestedTypes = {
            coercedType = coerced;
            finalType = final;
          };
        });

    addCheck =
      type: check:
      type
      // {
        check = x: type.check x && check x;
      };
  };
in
types
// {
  inherit
    types
    mkOptionType
    defaultFunctor
    defaultTypeMerge
    ;
  optionDescriptionPhrase = phrase;
}
