# Declaring options, and showing and merging what is defined for them.
{ lib }:
let
  inherit (builtins)
    all
    elem
    filter
    foldl'
    head
    isAttrs
    isFunction
    isList
    length
    tail
    ;
  inherit (lib) concatMapStrings concatMapStringsSep last;

  # Hint that ends the messages about definitions that exclude each other.
  choosePriority = "Use `lib.mkForce value` or `lib.mkDefault value` to change the priority on any of these definitions.";
in
rec {
  isOption = lib.isType "option";

  mkOption =
    {
      default ? null,
      defaultText ? null,
      example ? null,
      description ? null,
      relatedPackages ? null,
      type ? null,
      apply ? null,
      internal ? null,
      visible ? null,
      readOnly ? null,
    }@attrs:
    attrs // { _type = "option"; };

  mkEnableOption =
    name:
    mkOption {
      type = lib.types.bool;
      default = false;
      example = true;
      description =
        if name._type or null == "mdDoc" then
          name // { text = "Whether to enable ${name.text}."; }
        else
          "Whether to enable ${name}.";
    };

  mkPackageOption =
    pkgs: name:
    {
      nullable ? false,
      default ? name,
      example ? null,
      extraDescription ? "",
      pkgsText ? "pkgs",
    }:
    let
      names = lib.toList name;
      path = lib.toList default;
      shown = lib.showAttrPath path;
    in
    mkOption (
      {
        type = with lib.types; (if nullable then nullOr package else package);
        description =
          "The ${last names} package to use."
          + lib.optionalString (extraDescription != "") " ${extraDescription}";
      }
      // (
        if default == null then
          { default = null; }
        else
          {
            default = lib.attrByPath path (throw "${shown} cannot be found in ${pkgsText}") pkgs;
            defaultText = literalExpression "${pkgsText}.${shown}";
          }
      )
      // lib.optionalAttrs (example != null) {
        example = literalExpression (
          if isList example then "${pkgsText}.${lib.showAttrPath example}" else example
        );
      }
    );

  # Takes whatever is defined where nothing is declared, and forgets it.
  mkSinkUndeclaredOptions =
    attrs:
    mkOption (
      {
        internal = true;
        visible = false;
        default = false;
        description = "Sink for option definitions.";
        type = lib.types.mkOptionType {
          name = "sink";
          check = _: true;
          merge = _: _: false;
        };
        apply = _: throw "Option value is not readable because the option is not declared.";
      }
      // attrs
    );

  literalExpression =
    text:
    if !builtins.isString text then
      throw "literalExpression expects a string."
    else
      {
        _type = "literalExpression";
        inherit text;
      };
  literalMD =
    text:
    if !builtins.isString text then
      throw "literalMD expects a string."
    else
      {
        _type = "literalMD";
        inherit text;
      };

  getValues = map (d: d.value);
  getFiles = map (d: d.file);

  # The merge of options without a type: whatever the values have in common.
  mergeDefaultOption =
    loc: defs:
    let
      values = getValues defs;
    in
    if length values == 1 then
      head values
    else if all isFunction values then
      x:
      mergeDefaultOption loc (
        map (d: d // { value = d.value x; }) defs
      )
    else if all isList values then
      builtins.concatLists values
    else if all isAttrs values then
      lib.mergeAttrsList values
    else if all builtins.isBool values then
      elem true values
    else if all builtins.isString values then
      lib.concatStrings values
    else if all builtins.isInt values && all (v: v == head values) values then
      head values
    else
      throw "Cannot merge definitions of `${showOption loc}'. Definition values:${showDefs defs}";

  mergeOneOption = mergeUniqueOption { message = ""; };
  mergeUniqueOption =
    {
      message,
      merge ? null,
    }:
    loc: defs:
    if length defs != 1 then
      throw "The option `${showOption loc}' is defined multiple times while it's expected to be unique.\n${message}\nDefinition values:${showDefs defs}\n${choosePriority}"
    else if merge == null then
      (head defs).value
    else
      merge loc defs;

  mergeEqualOption =
    loc: defs:
    if defs == [ ] then
      abort "This case should never happen."
    else if length defs == 1 then
      (head defs).value
    else
      (foldl' (
        first: def:
        if def.value != first.value then
          throw "The option `${showOption loc}' has conflicting definition values:${
            showDefs [
              first
              def
            ]
          }\n${choosePriority}"
        else
          first
      ) (head defs) (tail defs)).value;

  # a."b.c".<name>: parts that are not identifiers are quoted, placeholders not.
  showOption =
    parts:
    let
      plain =
        part:
        elem part [
          "*"
          "<name>"
          "<function body>"
        ]
        || lib.hasPrefix "<" part && lib.hasSuffix ">" part
        || builtins.match "[a-zA-Z_][a-zA-Z0-9_'-]*" part != null;
      show = part: if plain part then part else lib.strings.escapeNixString part;
    in
    concatMapStringsSep "." show parts;

  showFiles = concatMapStringsSep " and " (f: "`${f}'");

  # One line per definition, with the value where it can be shown.
  showDefs = concatMapStrings (
    def:
    let
      shown = builtins.tryEval (
        lib.generators.toPretty { } (
          lib.generators.withRecursion {
            depthLimit = 10;
            throwOnDepthLimit = false;
          } def.value
        )
      );
      lines = filter builtins.isString (builtins.split "\n" shown.value);
      text = lib.concatStringsSep "\n    " (
        lib.take 5 lines ++ lib.optional (length lines > 5) "..."
      );
    in
    "\n- In `${toString def.file}'${
      if !shown.success then
        ""
      else if length lines > 1 then
        ":\n    " + text
      else
        ": " + text
    }"
  );

  showOptionWithDefLocs =
    opt: "${showOption opt.loc}, with values defined in:\n${concatMapStringsSep "\n" (f: "  - ${f}") opt.files}";

  unknownModule = "<unknown-file>";

  # Every option of a tree as a flat list, for documentation.
  optionAttrSetToDocList = optionAttrSetToDocList' [ ];
  optionAttrSetToDocList' =
    _: options:
    builtins.concatMap (
      opt:
      let
        entry = {
          inherit (opt) loc;
          name = showOption opt.loc;
          description = opt.description or null;
          declarations = filter (x: x != unknownModule) opt.declarations;
          internal = opt.internal or false;
          visible = opt.visible or true != false;
          readOnly = opt.readOnly or false;
          type = opt.type.description or "unspecified";
        };
        below = opt.type.getSubOptions opt.loc;
      in
      [ entry ] ++ lib.optionals (below != { }) (optionAttrSetToDocList' opt.loc below)
    ) (lib.collect isOption options);
}
