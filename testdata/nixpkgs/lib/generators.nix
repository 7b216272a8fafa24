{ lib }:
let
  inherit (builtins) isAttrs isString isList;
in
rec {
  mkValueStringDefault =
    { }:
    v:
    if builtins.isBool v then
      lib.boolToString v
    else if v == null then
      "null"
    else if builtins.isInt v || isString v || lib.isDerivation v then
      toString v
    else if builtins.isFloat v then
      lib.strings.floatToString v
    else if builtins.isPath v then
      toString v
    else
      throw "generators.mkValueStringDefault: this value is not supported: ${toPretty { } v}";
  mkKeyValueDefault =
    {
      mkValueString ? mkValueStringDefault { },
    }:
    sep: k: v:
    "${lib.escape [ sep ] k}${sep}${mkValueString v}";
  toKeyValue =
    {
      mkKeyValue ? mkKeyValueDefault { } "=",
      listsAsDuplicateKeys ? false,
      indent ? "",
    }:
    set:
    lib.concatMapStrings (line: indent + line + "\n") (
      lib.concatLists (
        lib.mapAttrsToList (
          k: v: if listsAsDuplicateKeys && isList v then map (mkKeyValue k) v else [ (mkKeyValue k v) ]
        ) set
      )
    );
  toINI =
    {
      mkSectionName ? lib.escape [
        "["
        "]"
      ],
      mkKeyValue ? mkKeyValueDefault { } "=",
      listsAsDuplicateKeys ? false,
    }:
    sections:
    lib.concatStringsSep "\n" (
      lib.mapAttrsToList (
        name: set:
        "[${mkSectionName name}]\n" + toKeyValue { inherit mkKeyValue listsAsDuplicateKeys; } set
      ) sections
    );
  toGitINI =
    set:
    let
      section =
        path: body:
        let
          name = builtins.head path;
          sub = lib.concatStringsSep "." (builtins.tail path);
          leaves = lib.filterAttrs (_: v: !isAttrs v) body;
          quote = lib.escape [
            "\\"
            "\""
          ];
          value = v: if isString v then "\"${quote v}\"" else mkValueStringDefault { } v;
        in
        lib.optionalString (leaves != { }) (
          "[${name}${lib.optionalString (sub != "") " \"${sub}\""}]\n"
          + lib.concatStrings (
            lib.concatLists (
              lib.mapAttrsToList (k: v: map (x: "\t${k} = ${value x}\n") (lib.toList v)) leaves
            )
          )
          + "\n"
        )
        + lib.concatStrings (
          lib.mapAttrsToList (n: section (path ++ [ n ])) (lib.filterAttrs (_: isAttrs) body)
        );
    in
    lib.removeSuffix "\n" (lib.concatStrings (lib.mapAttrsToList (n: section [ n ]) set));
  toJSON = { }: builtins.toJSON;
  toYAML = toJSON;

  # Bounds the depth of a value that is shown; beyond it stands "<unevaluated>".
  withRecursion =
    {
      depthLimit,
      throwOnDepthLimit ? true,
    }:
    let
      special = [
        "__functor"
        "__functionArgs"
        "__toString"
        "__pretty"
      ];
      go =
        depth: v:
        if depth > depthLimit && (isAttrs v || isList v) then
          if throwOnDepthLimit then
            throw "Exceeded maximum eval-depth limit of ${toString depthLimit} while trying to evaluate with `generators.withRecursion'!"
          else
            "<unevaluated>"
        else if isAttrs v then
          if lib.isDerivation v then
            v
          else
            lib.mapAttrs (n: x: if builtins.elem n special then x else go (depth + 1) x) v
        else if isList v then
          map (go (depth + 1)) v
        else
          v;
    in
    go 0;

  # A value as Nix source, for people.
  toPretty =
    {
      allowPrettyValues ? false,
      multiline ? true,
      indent ? "",
    }:
    let
      go =
        indent: v:
        let
          open = if multiline then "\n${indent}  " else " ";
          close = if multiline then "\n${indent}" else " ";
          inner = go (indent + "  ");
        in
        if builtins.isInt v then
          toString v
        else if builtins.isFloat v then
          "~${toString v}"
        else if isString v then
          showString indent open close v
        else if v == true then
          "true"
        else if v == false then
          "false"
        else if v == null then
          "null"
        else if builtins.isPath v then
          toString v
        else if isList v then
          if v == [ ] then
            "[ ]"
          else
            "[${open}${lib.concatMapStringsSep open inner v}${close}]"
        else if builtins.isFunction v then
          let
            args = lib.functionArgs v;
            shown = lib.concatStringsSep ", " (
              lib.mapAttrsToList (n: optional: if optional then "${n}?" else n) args
            );
          in
          if args == { } then "<function>" else "<function, args: {${shown}}>"
        else if isAttrs v then
          if allowPrettyValues && v ? __pretty && v ? val then
            v.__pretty v.val
          else if v == { } then
            "{ }"
          else if v.type or null == "derivation" then
            "<derivation ${v.name or "???"}>"
          else
            "{${open}${
              lib.concatStringsSep open (
                lib.mapAttrsToList (
                  n: x:
                  "${lib.strings.escapeNixIdentifier n} = ${
                    builtins.addErrorContext "while evaluating an attribute `${n}`" (inner x)
                  };"
                ) v
              )
            }${close}}"
        else
          abort "generators.toPretty: should never happen (v = ${builtins.typeOf v})";
      showString =
        indent: open: close: s:
        let
          lines = lib.splitString "\n" s;
          lastLine = lib.last lines;
          text = map (lib.replaceStrings [ "''" "\${" ] [ "'''" "''\${" ]) lines;
        in
        if multiline && builtins.length lines > 1 then
          "''"
          + open
          + lib.concatStringsSep open (if lastLine == "" then lib.init text else text)
          + (if lastLine == "" then close else "")
          + "''"
        else
          "\"${lib.replaceStrings [ "\\" "\"" "\${" "\n" ] [ "\\\\" "\\\"" "\\\${" "\\n" ] s}\"";
    in
    go indent;

  # A property list, as launchd and `defaults` read it.
  toPlist =
    {
      escape ? true,
    }:
    v:
    let
      text = s: if escape then lib.escapeXML s else s;
      line = indent: s: "${indent}${s}\n";
      go =
        indent: v:
        if v == null then
          ""
        else if builtins.isBool v then
          line indent (if v then "<true/>" else "<false/>")
        else if builtins.isInt v then
          line indent "<integer>${toString v}</integer>"
        else if builtins.isFloat v then
          line indent "<real>${toString v}</real>"
        else if isList v then
          line indent "<array>" + lib.concatMapStrings (go "${indent}\t") v + line indent "</array>"
        else if isAttrs v && !lib.strings.isStringLike v then
          line indent "<dict>"
          + lib.concatStrings (
            lib.mapAttrsToList (
              n: x: line "${indent}\t" "<key>${text n}</key>" + go "${indent}\t" x
            ) (lib.filterAttrs (_: x: x != null) v)
          )
          + line indent "</dict>"
        else
          line indent "<string>${text (toString v)}</string>";
    in
    ''
      <?xml version="1.0" encoding="UTF-8"?>
      <!DOCTYPE plist PUBLIC "-//Apple Computer//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
      <plist version="1.0">
    ''
    + go "" v
    + "</plist>";
  mkLuaInline = expr: {
    _type = "lua-inline";
    inherit expr;
  };
}
