# The part of nixpkgs' `lib` that modules need, written anew for tests and the
# demo: names, arguments and meaning are those of nixpkgs, the code is ours.
# Where both are asked the same (../tests/table.nix), both must answer the same.
let
  compose = import ./fixed-points.nix;

  # Names that nixpkgs keeps in their room and does not show at the top of lib.
  inner = [
    "assertEachOneOf"
    "availableOn"
    "charToInt"
    "checkAssertWarn"
    "codeName"
    "commonPrefix"
    "commonPrefixLength"
    "commonSuffixLength"
    "escapeC"
    "escapeNixIdentifier"
    "escapeNixString"
    "escapeQuery"
    "findFirstIndex"
    "floatToString"
    "hasPrefix"
    "isConvertibleWithToString"
    "isSimpleString"
    "levenshtein"
    "levenshteinAtMost"
    "longestValidPathPrefix"
    "normalizePath"
    "oldestSupportedRelease"
    "platformMatch"
    "release"
    "removePrefix"
    "revisionWithDefault"
    "sanitizeDerivationName"
    "storeDir"
    "unionOfDisjoint"
    "versionSuffix"
  ];
  shown = room: removeAttrs room inner;
in
compose.makeExtensible (
  lib:
  let
    room = file: import file { inherit lib; };
  in
  {
    fixedPoints = compose;
    trivial = room ./trivial.nix;
    lists = room ./lists.nix;
    strings = room ./strings.nix;
    attrsets = room ./attrsets.nix;
    versions = room ./versions.nix;
    stringsWithDeps = room ./strings-with-deps.nix;
    asserts = room ./asserts.nix;
    generators = room ./generators.nix;
    debug = room ./debug.nix;
    customisation = room ./customisation.nix;
    derivations = room ./derivations.nix;
    meta = room ./meta.nix;
    filesystem = room ./filesystem.nix;
    path = room ./path.nix;
    systems = room ./systems.nix;
    options = room ./options.nix;
    types = room ./types.nix;
    modules = room ./modules.nix;

    # What packages name in `meta`; nothing here depends on it.
    licenses = {
      mit = {
        spdxId = "MIT";
        free = true;
      };
      gpl2Only = {
        spdxId = "GPL-2.0-only";
        free = true;
      };
      gpl3Plus = {
        spdxId = "GPL-3.0-or-later";
        free = true;
      };
      mpl20 = {
        spdxId = "MPL-2.0";
        free = true;
      };
      bsd3 = {
        spdxId = "BSD-3-Clause";
        free = true;
      };
    };
    maintainers = { };
    teams = { };
    platforms = {
      linux = builtins.filter (lib.hasSuffix "-linux") lib.systems.flakeExposed;
      darwin = builtins.filter (lib.hasSuffix "-darwin") lib.systems.flakeExposed;
      unix = lib.platforms.linux ++ lib.platforms.darwin;
      all = lib.systems.flakeExposed;
    };
  }
  // compose
  // shown (room ./trivial.nix)
  // shown (room ./lists.nix)
  // removeAttrs (shown (room ./strings.nix)) [ "replicate" ]
  // shown (room ./attrsets.nix)
  // shown (room ./asserts.nix)
  // shown (room ./debug.nix)
  // shown (room ./customisation.nix)
  // shown (room ./derivations.nix)
  // shown (room ./meta.nix)
  // shown (room ./strings-with-deps.nix)
  // {
    inherit (lib.strings) hasPrefix removePrefix;
    inherit (lib.filesystem) pathIsDirectory pathIsRegularFile pathType;
    inherit (lib.versions) versionAtLeast versionOlder;
    inherit (lib.generators) mkLuaInline;
    inherit (lib.options)
      isOption
      literalExpression
      literalMD
      mergeDefaultOption
      mergeEqualOption
      mergeOneOption
      mergeUniqueOption
      mkEnableOption
      mkOption
      mkPackageOption
      mkSinkUndeclaredOptions
      optionAttrSetToDocList
      optionAttrSetToDocList'
      getFiles
      getValues
      showFiles
      showOption
      showOptionWithDefLocs
      unknownModule
      ;
    inherit (lib.types)
      isOptionType
      mkOptionType
      defaultFunctor
      defaultTypeMerge
      ;
    inherit (lib.modules)
      dischargeProperties
      doRename
      evalModules
      evalOptionValue
      filterOverrides
      fixupOptionType
      mergeDefinitions
      mergeModules
      mergeModules'
      mergeOptionDecls
      mkAfter
      mkAliasAndWrapDefinitions
      mkAliasDefinitions
      mkAliasOptionModule
      mkAliasOptionModuleMD
      mkAssert
      mkBefore
      mkChangedOptionModule
      mkDefault
      mkDefinition
      mkDerivedConfig
      mkFixStrictness
      mkForce
      mkIf
      mkImageMediaOverride
      mkMerge
      mkMergedOptionModule
      mkOptionDefault
      mkOrder
      mkOverride
      mkRemovedOptionModule
      mkRenamedOptionModule
      mkRenamedOptionModuleWith
      mkVMOverride
      pushDownProperties
      setDefaultModuleLocation
      sortProperties
      ;
  }
)
