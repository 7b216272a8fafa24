{ lib }:
let
  inherit (builtins)
    concatStringsSep
    replaceStrings
    stringLength
    substring
    ;
  lowers = chars "abcdefghijklmnopqrstuvwxyz";
  uppers = chars "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  chars = s: builtins.genList (i: substring i 1 s) (stringLength s);
in
rec {
  inherit (builtins)
    compareVersions
    concatStringsSep
    elem
    elemAt
    filter
    genList
    fromJSON
    head
    isInt
    isList
    isAttrs
    isPath
    isString
    match
    parseDrvName
    readFile
    replaceStrings
    split
    storeDir
    stringLength
    substring
    tail
    toJSON
    typeOf
    unsafeDiscardStringContext
    ;

  stringToCharacters = chars;
  stringAsChars = f: s: concatStrings (map f (chars s));
  replaceString = from: to: replaceStrings [ from ] [ to ];
  concatStrings = concatStringsSep "";
  concatMapStrings = f: xs: concatStrings (map f xs);
  concatImapStrings = f: xs: concatStrings (lib.imap1 f xs);
  concatMapStringsSep =
    sep: f: xs:
    concatStringsSep sep (map f xs);
  concatImapStringsSep =
    sep: f: xs:
    concatStringsSep sep (lib.imap1 f xs);
  concatMapAttrsStringSep =
    sep: f: set:
    concatStringsSep sep (lib.mapAttrsToList f set);
  concatLines = concatMapStrings (s: s + "\n");
  intersperse =
    sep: xs:
    if xs == [ ] then
      [ ]
    else
      builtins.tail (
        builtins.concatMap (x: [
          sep
          x
        ]) xs
      );
  optionalString = condition: s: if condition then s else "";
  replicate = n: s: concatStrings (lib.lists.replicate n s);
  join = concatStringsSep;

  hasPrefix = prefix: s: substring 0 (stringLength prefix) s == prefix;
  hasSuffix =
    suffix: s:
    let
      n = stringLength s;
      k = stringLength suffix;
    in
    n >= k && substring (n - k) n s == suffix;
  hasInfix = infix: s: builtins.match ".*${escapeRegex infix}.*" "${s}" != null;
  removePrefix =
    prefix: s:
    if hasPrefix prefix s then substring (stringLength prefix) (stringLength s) s else s;
  removeSuffix =
    suffix: s:
    if hasSuffix suffix s then substring 0 (stringLength s - stringLength suffix) s else s;
  commonPrefixLength =
    a: b:
    let
      n = lib.min (stringLength a) (stringLength b);
      go = i: if i >= n || substring i 1 a != substring i 1 b then i else go (i + 1);
    in
    go 0;
  commonSuffixLength =
    a: b:
    let
      n = lib.min (stringLength a) (stringLength b);
      at = s: i: substring (stringLength s - i - 1) 1 s;
      go = i: if i >= n || at a i != at b i then i else go (i + 1);
    in
    go 0;

  # Edit distance of two strings, in insertions, deletions and replacements.
  levenshtein =
    a: b:
    let
      table = builtins.genList (
        i: builtins.genList (j: cell i j) (stringLength b + 1)
      ) (stringLength a + 1);
      at = i: j: builtins.elemAt (builtins.elemAt table i) j;
      cell =
        i: j:
        if j == 0 then
          i
        else if i == 0 then
          j
        else
          lib.min (lib.min (at (i - 1) j + 1) (at i (j - 1) + 1)) (
            at (i - 1) (j - 1) + (if substring (i - 1) 1 a == substring (j - 1) 1 b then 0 else 1)
          );
    in
    at (stringLength a) (stringLength b);
  levenshteinAtMost =
    k: a: b:
    levenshtein a b <= k;

  toLower = replaceStrings uppers lowers;
  toUpper = replaceStrings lowers uppers;
  toSentenceCase =
    s:
    if s == "" then "" else toUpper (substring 0 1 s) + toLower (substring 1 (stringLength s) s);
  toCamelCase =
    s:
    let
      words = builtins.filter (w: builtins.isString w && w != "") (builtins.split "[^a-zA-Z0-9]+" s);
    in
    concatStrings (lib.imap0 (i: w: if i == 0 then toLower w else toSentenceCase w) words);

  trim = trimWith {
    start = true;
    end = true;
  };
  trimWith =
    {
      start ? false,
      end ? false,
    }:
    s:
    let
      blank = " \t\r\n";
      head = if start then "[${blank}]*" else "";
      last = if end then "[${blank}]*" else "";
      # The body ends in a non-blank where the end is trimmed.
      body = if end then "(.*[^${blank}])" else "(.*)";
      found = builtins.match "${head}${
        if start then
          "(${if end then "[^${blank}].*[^${blank}]|[^${blank}]" else "[^${blank}].*"})"
        else
          body
      }${last}" s;
    in
    if found == null then "" else builtins.head found;

  splitString =
    sep: s:
    builtins.filter builtins.isString (
      builtins.split (escapeRegex (toString sep)) (toString s)
    );
  splitStringBy =
    cut: keep: s:
    let
      step =
        acc: c:
        if cut acc.prev c then
          {
            prev = c;
            done = acc.done ++ [ acc.current ];
            current = if keep then c else "";
          }
        else
          acc
          // {
            prev = c;
            current = acc.current + c;
          };
      end = builtins.foldl' step {
        prev = "";
        done = [ ];
        current = "";
      } (chars s);
    in
    if s == "" then [ "" ] else end.done ++ [ end.current ];
  addContextFrom = src: target: substring 0 0 src + target;

  escape = list: replaceStrings list (map (c: "\\${c}") list);
  escapeC =
    list:
    replaceStrings list (
      map (
        c: "\\x${fixedWidthString 2 "0" (toLower (lib.toHexString (charToInt c)))}"
      ) list
    );
  escapeRegex = escape (chars "\\[{()^$?*+|.");
  escapeURL =
    let
      plain = chars "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
      coded =
        c:
        if builtins.elem c plain then
          c
        else
          "%${fixedWidthString 2 "0" (lib.toHexString (charToInt c))}";
    in
    stringAsChars coded;
  escapeXML = replaceStrings [ "\"" "'" "<" ">" "&" ] [ "&quot;" "&apos;" "&lt;" "&gt;" "&amp;" ];
  escapeShellArg =
    arg:
    let
      s = toString arg;
    in
    if builtins.match "[[:alnum:],._+:@%/-]+" s == null then
      "'${replaceStrings [ "'" ] [ "'\\''" ] s}'"
    else
      s;
  escapeShellArgs = concatMapStringsSep " " escapeShellArg;
  escapeNixString = s: escape [ "$" ] (builtins.toJSON s);
  escapeNixIdentifier =
    s:
    if
      builtins.match "[a-zA-Z_][a-zA-Z0-9_'-]*" s != null
      && !builtins.elem s [
        "assert"
        "else"
        "if"
        "in"
        "inherit"
        "let"
        "or"
        "rec"
        "then"
        "with"
        "__curPos"
      ]
    then
      s
    else
      escapeNixString s;
  isValidPosixName = name: builtins.match "[a-zA-Z_][a-zA-Z0-9_]*" name != null;
  toShellVar =
    name: value:
    lib.throwIfNot (isValidPosixName name) "toShellVar: ${name} is not a valid shell variable name" (
      if builtins.isAttrs value && !isStringLike value then
        "declare -A ${name}=(${
          concatStringsSep " " (
            lib.mapAttrsToList (n: v: "[${escapeShellArg n}]=${escapeShellArg v}") value
          )
        })"
      else if builtins.isList value then
        "declare -a ${name}=(${escapeShellArgs value})"
      else
        "${name}=${escapeShellArg value}"
    );
  toShellVars = vars: concatStringsSep "\n" (lib.mapAttrsToList toShellVar vars);

  # The code of an ASCII character: its place in the string of all of them.
  charToInt =
    c:
    let
      table = builtins.listToAttrs (
        lib.imap0 (i: x: {
          name = x;
          value = i + 32;
        }) (chars " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~")
      );
    in
    table.${c} or (
      {
        "\t" = 9;
        "\n" = 10;
        "\r" = 13;
      }
      .${c} or (throw "lib.strings.charToInt: not an ASCII character: ${c}")
    );

  toInt =
    s:
    let
      m = builtins.match "[[:space:]]*(-?[[:digit:]]+)[[:space:]]*" s;
      leading = builtins.match "[[:space:]]*-?0[[:digit:]]+[[:space:]]*" s;
    in
    if m == null then
      throw "toInt: Could not convert ${escapeNixString s} to int."
    else if leading != null then
      throw "toInt: Ambiguity in interpretation of ${escapeNixString s} between octal and zero padded integer."
    else
      builtins.fromJSON (builtins.head m);
  toIntBase10 =
    s:
    let
      m = builtins.match "[[:space:]]*(-?)0*([[:digit:]]+)[[:space:]]*" s;
    in
    if m == null then
      throw "toIntBase10: Could not convert ${escapeNixString s} to int."
    else
      builtins.fromJSON (builtins.head m + builtins.elemAt m 1);
  floatToString = toString;
  fixedWidthString =
    width: filler: s:
    if stringLength s > width then
      throw "fixedWidthString: requested string length (${toString width}) must not be shorter than actual length (${toString (stringLength s)})"
    else
      replicate (width - stringLength s) filler + s;
  fixedWidthNumber = width: n: fixedWidthString width "0" (toString n);

  isStringLike = x: builtins.isString x || builtins.isPath x || x ? outPath || x ? __toString;
  isConvertibleWithToString =
    x:
    builtins.elem (builtins.typeOf x) [
      "string"
      "path"
      "int"
      "float"
      "null"
      "bool"
    ]
    || (builtins.isList x && builtins.all isConvertibleWithToString x)
    || (builtins.isAttrs x && (x ? outPath || x ? __toString));
  isSimpleString = s: builtins.isString s && !builtins.hasContext s;
  isStorePath =
    x:
    isStringLike x
    && (
      let
        s = toString x;
      in
      substring 0 1 s == "/" && dirOf s == builtins.storeDir
    );

  makeSearchPath =
    sub: xs:
    concatStringsSep ":" (map (p: "${p}/${sub}") (builtins.filter (x: x != null) xs));
  makeSearchPathOutput =
    output: sub: pkgs:
    makeSearchPath sub (map (lib.getOutput output) pkgs);
  makeBinPath = makeSearchPathOutput "bin" "bin";
  makeLibraryPath = makeSearchPathOutput "lib" "lib";
  makeIncludePath = makeSearchPathOutput "dev" "include";

  normalizePath = s: concatStringsSep "/" (builtins.filter builtins.isString (builtins.split "/+" s));
  sanitizeDerivationName =
    s:
    let
      clean = concatMapStrings (p: if builtins.isList p then "-" else p) (
        builtins.split "[^[:alnum:]+._?=-]+" (
          builtins.head (builtins.match "\\.*(.*)" (builtins.unsafeDiscardStringContext s))
        )
      );
      n = stringLength clean;
      short = if n > 207 then substring (n - 207) 207 clean else clean;
    in
    if short == "" then "unknown" else short;
  getName =
    x:
    if builtins.isString x then
      (builtins.parseDrvName x).name
    else
      x.pname or (builtins.parseDrvName x.name).name;
  getVersion =
    x:
    if builtins.isString x then
      (builtins.parseDrvName x).version
    else
      x.version or (builtins.parseDrvName x.name).version;
  nameFromURL =
    url: sep:
    let
      file = lib.last (splitString "/" url);
    in
    builtins.head (splitString sep file);
  versionOlder = a: b: builtins.compareVersions b a == 1;
  versionAtLeast = a: b: !versionOlder a b;

  cmakeOptionType =
    type: name: value:
    "-D${name}:${type}=${value}";
  withFeature = on: name: "--${if on then "with" else "without"}-${name}";
  enableFeature = on: name: "--${if on then "enable" else "disable"}-${name}";
  fileContents = file: removeSuffix "\n" (builtins.readFile file);
}
