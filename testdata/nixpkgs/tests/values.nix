# What lib must answer: name = [ asked expected ]. Every line holds for our lib
# and for the real one.
# One line a case, whatever a formatter would say.
{ lib }:
let
  inherit (lib) mkOption types;

  # The config of modules.
  config = modules: (lib.evalModules { inherit modules; }).config;
  # The value of one option of a type, from several definitions.
  merged =
    type: values:
    (config ([ { options.v = mkOption { inherit type; }; } ] ++ map (v: { inherit v; }) values)).v;
  option = attrs: { options.v = mkOption attrs; };
  opts = lib.evalModules {
    modules = [
      {
        _file = "one.nix";
        options.v = mkOption {
          type = types.int;
          default = 1;
          description = "d";
        };
      }
      {
        _file = "two.nix";
        v = lib.mkForce 2;
      }
    ];
  };
  describe = t: t.description;
in
{
  # ── lists ────────────────────────────────────────────────────────────────
  foldr = [ (lib.foldr (a: b: a + b) "!" [ "a" "b" ]) "ab!" ];
  foldl = [ (lib.foldl (a: b: "(${a}${b})") "x" [ "a" "b" ]) "((xa)b)" ];
  imap0 = [ (lib.imap0 (i: x: "${toString i}${x}") [ "a" "b" ]) [ "0a" "1b" ] ];
  imap1 = [ (lib.imap1 (i: x: "${toString i}${x}") [ "a" "b" ]) [ "1a" "2b" ] ];
  flatten = [ (lib.flatten [ 1 [ 2 [ 3 ] ] 4 ]) [ 1 2 3 4 ] ];
  remove = [ (lib.remove 3 [ 1 3 4 3 ]) [ 1 4 ] ];
  optional = [ (lib.optional true 1 ++ lib.optional false 2 ++ lib.optionals true [ 3 ]) [ 1 3 ] ];
  findFirst = [ (lib.findFirst (x: x > 2) null [ 1 2 3 4 ]) 3 ];
  findFirstNone = [ (lib.findFirst (x: x > 9) "none" [ 1 ]) "none" ];
  findSingle = [ (map (lib.findSingle (x: x == 3) "none" "many") [ [ 1 3 ] [ 9 ] [ 3 3 ] ]) [ 3 "none" "many" ] ];
  range = [ (lib.range 2 4 ++ lib.range 3 2) [ 2 3 4 ] ];
  replicate = [ (lib.replicate 3 "a") [ "a" "a" "a" ] ];
  reverseList = [ (lib.reverseList [ 1 2 3 ]) [ 3 2 1 ] ];
  sortOn = [ (lib.sortOn builtins.stringLength [ "aa" "b" "cccc" ]) [ "b" "aa" "cccc" ] ];
  naturalSort = [ (lib.naturalSort [ "disk11" "disk8" "disk100" "disk9" ]) [ "disk8" "disk9" "disk11" "disk100" ] ];
  naturalSortMixed = [ (lib.naturalSort [ "10.54.16.2" "10.5.16.62" "a" "5" ]) [ "5" "10.5.16.62" "10.54.16.2" "a" ] ];
  compareLists = [ (lib.compareLists lib.compare [ 1 2 ] [ 1 3 ]) (-1) ];
  toposort = [ (lib.toposort (a: b: a < b) [ 3 2 1 ]) { result = [ 1 2 3 ]; } ];
  toposortPaths = [ (lib.toposort lib.hasPrefix [ "/home/user" "other" "/" "/home" ]) { result = [ "/" "/home" "/home/user" "other" ]; } ];
  toposortCycle = [ ((lib.toposort (a: b: true) [ 1 2 ]) ? cycle) true ];
  take = [ [ (lib.take 2 [ 1 2 3 ]) (lib.drop 2 [ 1 2 3 ]) (lib.takeEnd 1 [ 1 2 ]) (lib.dropEnd 1 [ 1 2 ]) ] [ [ 1 2 ] [ 3 ] [ 2 ] [ 1 ] ] ];
  sublist = [ (lib.sublist 1 3 [ "a" "b" "c" ]) [ "b" "c" ] ];
  lastInit = [ [ (lib.last [ 1 2 ]) (lib.init [ 1 2 ]) ] [ 2 [ 1 ] ] ];
  zipLists = [ (lib.zipListsWith (a: b: a + b) [ "h" "l" ] [ "e" "o" "x" ]) [ "he" "lo" ] ];
  unique = [ (lib.unique [ 3 2 3 4 ]) [ 3 2 4 ] ];
  allUnique = [ (lib.allUnique [ 3 2 3 ]) false ];
  intersect = [ [ (lib.intersectLists [ 1 2 3 ] [ 6 3 2 ]) (lib.subtractLists [ 3 2 ] [ 1 2 3 4 ]) ] [ [ 3 2 ] [ 1 4 ] ] ];
  groupBy = [ (lib.groupBy' builtins.add 0 (x: lib.boolToString (x > 2)) [ 5 1 2 3 ]) { true = 8; false = 3; } ];
  listPrefix = [ [ (lib.lists.hasPrefix [ 1 ] [ 1 2 ]) (lib.lists.removePrefix [ 1 ] [ 1 2 ]) (lib.lists.commonPrefix [ 1 2 3 ] [ 1 2 4 ]) ] [ true [ 2 ] [ 1 2 ] ] ];
  count = [ (lib.count (x: x == 3) [ 3 2 3 ]) 2 ];

  # ── attribute sets ───────────────────────────────────────────────────────
  attrByPath = [ (map (p: lib.attrByPath p "no" { a.b = 1; }) [ [ "a" "b" ] [ "a" "c" ] [ "a" "b" "c" ] [ ] ]) [ 1 "no" "no" { a.b = 1; } ] ];
  hasAttrByPath = [ (map (p: lib.hasAttrByPath p { a.b = 1; }) [ [ "a" "b" ] [ "a" "c" ] [ ] ]) [ true false true ] ];
  setAttrByPath = [ (lib.setAttrByPath [ "a" "b" ] 3) { a.b = 3; } ];
  longestPrefix = [ (lib.attrsets.longestValidPathPrefix [ "a" "b" "c" ] { a.b = 1; }) [ "a" "b" ] ];
  filterAttrs = [ (lib.filterAttrs (n: v: n == "foo" || v == 3) { foo = 1; bar = 2; baz = 3; }) { foo = 1; baz = 3; } ];
  filterAttrsRecursive = [ (lib.filterAttrsRecursive (n: v: v != null) { a.b = null; a.c = 1; d = null; }) { a.c = 1; } ];
  mapAttrs' = [ (lib.mapAttrs' (n: v: lib.nameValuePair "x${n}" (v + 1)) { a = 1; }) { xa = 2; } ];
  mapAttrsToList = [ (lib.mapAttrsToList (n: v: n + v) { x = "a"; y = "b"; }) [ "xa" "yb" ] ];
  attrsToList = [ (lib.attrsToList { a = 1; }) [ { name = "a"; value = 1; } ] ];
  concatMapAttrs = [ (lib.concatMapAttrs (n: v: { ${n} = v; "${n}2" = v; }) { a = 1; }) { a = 1; a2 = 1; } ];
  genAttrs = [ (lib.genAttrs [ "a" "b" ] (n: "x" + n)) { a = "xa"; b = "xb"; } ];
  foldAttrs = [ (lib.foldAttrs (x: acc: [ x ] ++ acc) [ ] [ { a = 2; } { a = 3; b = 4; } ]) { a = [ 2 3 ]; b = [ 4 ]; } ];
  foldlAttrs = [ (lib.foldlAttrs (acc: n: v: "${acc}${n}${toString v}") "" { a = 1; b = 2; }) "a1b2" ];
  collect = [ (lib.collect builtins.isList { a.b = [ 1 ]; c = [ 2 ]; d = 1; }) [ [ 1 ] [ 2 ] ] ];
  cartesian = [ (lib.cartesianProduct { a = [ 1 2 ]; b = [ 3 ]; }) [ { a = 1; b = 3; } { a = 2; b = 3; } ] ];
  mapRecursive = [ (lib.mapAttrsRecursive (p: v: lib.concatStringsSep "-" (p ++ [ v ])) { n.a = "A"; m = "B"; }) { n.a = "n-a-A"; m = "m-B"; } ];
  mapRecursiveCond = [ (lib.mapAttrsRecursiveCond (s: !(s ? stop)) (p: v: "leaf") { a.b = 1; c.stop = 1; }) { a.b = "leaf"; c = "leaf"; } ];
  mapToListRecursive = [ (lib.mapAttrsToListRecursive (p: v: "${lib.concatStringsSep "." p}=${toString v}") { a.b = 1; c = 2; }) [ "a.b=1" "c=2" ] ];
  zipAttrsWith = [ (lib.zipAttrsWith (n: vs: vs) [ { a = 1; } { a = 2; b = 3; } ]) { a = [ 1 2 ]; b = [ 3 ]; } ];
  recursiveUpdate = [ (lib.recursiveUpdate { a = { b = 1; c = 2; }; d = 1; } { a.b = 9; d.e = 2; }) { a = { b = 9; c = 2; }; d.e = 2; } ];
  recursiveUpdateUntil = [ (lib.recursiveUpdateUntil (p: l: r: p == [ "foo" ]) { foo.bar = 1; foo.baz = 2; bar = 3; } { foo.bar = 1; foo.quz = 2; baz = 4; }) { foo.bar = 1; foo.quz = 2; bar = 3; baz = 4; } ];
  updateManyAttrsByPath = [ (lib.updateManyAttrsByPath [ { path = [ "a" "b" ]; update = old: { d = old.c; }; } { path = [ "a" "b" "c" ]; update = old: old + 1; } { path = [ "x" "y" ]; update = _: "xy"; } ] { a.b.c = 0; }) { a.b.d = 1; x.y = "xy"; } ];
  matchAttrs = [ [ (lib.matchAttrs { cpu = { }; } { cpu = { bits = 64; }; }) (lib.matchAttrs { a = 1; } { a = 2; }) ] [ true false ] ];
  showAttrPath = [ (map lib.showAttrPath [ [ "foo" "10" "bar" ] [ ] ]) [ "foo.\"10\".bar" "<root attribute path>" ] ];
  getOutput = [ (map (lib.getOutput "dev") [ { dev = 1; out = 2; } { out = 2; } 3 ]) [ 1 2 3 ] ];
  isDerivation = [ (map lib.isDerivation [ { type = "derivation"; } { } 1 ]) [ true false false ] ];

  # ── strings ──────────────────────────────────────────────────────────────
  concat = [ [ (lib.concatMapStringsSep "-" lib.toUpper [ "a" "b" ]) (lib.concatStrings [ "a" "b" ]) (lib.concatLines [ "a" "b" ]) (lib.concatImapStringsSep "-" (i: x: toString (x / i)) [ 6 6 6 ]) ] [ "A-B" "ab" "a\nb\n" "6-3-2" ] ];
  concatMapAttrs' = [ (lib.concatMapAttrsStringSep "\n" (n: v: "${n}=${v}") { a = "1"; b = "2"; }) "a=1\nb=2" ];
  prefix = [ [ (lib.hasPrefix "fo" "foo") (lib.hasSuffix "oo" "foo") (lib.hasSuffix "xfoo" "foo") (lib.hasInfix "." "a.b") (lib.hasInfix "." "ab") (lib.removePrefix "f" "foo") (lib.removeSuffix ".nix" "a.nix") ] [ true true false true false "oo" "a" ] ];
  splitString = [ [ (lib.splitString "." "a.b..c") (lib.splitString "/" "") ] [ [ "a" "b" "" "c" ] [ "" ] ] ];
  case = [ [ (lib.toLower "HoMe") (lib.toUpper "a") (lib.toSentenceCase "heLLO") ] [ "home" "A" "Hello" ] ];
  trim = [ (map lib.trim [ "  a b \n" "" "  " "x" ]) [ "a b" "" "" "x" ] ];
  trimWith = [ [ (lib.trimWith { start = true; } "  a ") (lib.trimWith { end = true; } "  a ") ] [ "a " "  a" ] ];
  escapes = [ [ (lib.escape [ "(" ")" ] "(foo)") (lib.escapeShellArg "esc'ape") (lib.escapeShellArg "plain-1.0/x") (lib.escapeShellArgs [ "a b" 1 ]) (lib.escapeRegex "a.b") (lib.escapeXML "<a & \"b\">") (lib.escapeURL "a b/~") ] [ "\\(foo\\)" "'esc'\\''ape'" "plain-1.0/x" "'a b' 1" "a\\.b" "&lt;a &amp; &quot;b&quot;&gt;" "a%20b%2F~" ] ];
  escapeNix = [ [ (lib.strings.escapeNixString "a\${b}\n") (map lib.strings.escapeNixIdentifier [ "a" "1" "a-b" "in" "a.b" ]) ] [ "\"a\\\${b}\\n\"" [ "a" "\"1\"" "a-b" "\"in\"" "\"a.b\"" ] ] ];
  shellVars = [ [ (lib.toShellVar "v" "it's") (lib.toShellVar "l" [ "a" "b c" ]) (lib.toShellVars { a = 1; }) ] [ "v='it'\\''s'" "declare -a l=(a 'b c')" "a=1" ] ];
  toInt = [ (map lib.toInt [ "1337" "-4" " 3 " ]) [ 1337 (-4) 3 ] ];
  toIntBase10 = [ (map lib.toIntBase10 [ "0037" "5" ]) [ 37 5 ] ];
  fixedWidth = [ [ (lib.fixedWidthString 5 "0" "12") (lib.fixedWidthNumber 3 7) ] [ "00012" "007" ] ];
  levenshtein = [ [ (lib.strings.levenshtein "hello" "hola") (lib.strings.levenshtein "" "abc") (lib.strings.levenshteinAtMost 2 "kitten" "sitting") ] [ 3 3 false ] ];
  versions = [ [ (lib.versionAtLeast "1.2" "1.1") (lib.versionOlder "1.1" "1.1") (lib.versions.majorMinor "1.2.3") (lib.versions.major "1.2") ] [ true false "1.2" "1" ] ];
  names = [ [ (lib.getName "youtube-dl-2016.01.01") (lib.getVersion "youtube-dl-2016.01.01") (lib.getName { pname = "a"; }) ] [ "youtube-dl" "2016.01.01" "a" ] ];
  sanitize = [ (map lib.strings.sanitizeDerivationName [ "../hello.bar # foo" "" "a b" ]) [ "-hello.bar-foo" "unknown" "a-b" ] ];
  makeBinPath = [ (lib.makeBinPath [ "/root" "/usr" ]) "/root/bin:/usr/bin" ];
  storePath = [ (map lib.isStorePath [ "/nix/store/d945ibfx9x185xf04b890y4f9g3cbb63-python" "/nix/store/a/b" "x" ]) [ true false false ] ];
  boolToString = [ (map lib.boolToString [ true false ]) [ "true" "false" ] ];
  feature = [ [ (lib.enableFeature true "a") (lib.withFeature false "b") ] [ "--enable-a" "--without-b" ] ];
  commonPrefix = [ [ (lib.strings.commonPrefixLength "hey" "hello") (lib.strings.commonSuffixLength "test" "rest") ] [ 2 3 ] ];

  # ── functions, fixed points, assertions ──────────────────────────────────
  pipe = [ (lib.pipe 2 [ (x: x + 2) (x: x * 2) ]) 8 ];
  functionArgs = [ [ (lib.functionArgs (lib.setFunctionArgs (x: x) { a = true; })) (lib.isFunction { __functor = _: x: x; }) (lib.toFunction 1 2) ] [ { a = true; } true 1 ] ];
  fix = [ (lib.fix (self: { a = 1; b = self.a + 1; })) { a = 1; b = 2; } ];
  extends = [ (lib.fix (lib.extends (final: prev: { a = prev.a + 10; }) (self: { a = 1; b = self.a; }))) { a = 11; b = 11; } ];
  compose = [ (lib.fix (lib.extends (lib.composeManyExtensions [ (f: p: { a = p.a + 1; }) (f: p: { a = p.a * 10; }) ]) (_: { a = 1; }))) { a = 20; } ];
  makeExtensible = [ ((lib.makeExtensible (self: { a = 1; b = self.a; })).extend (f: p: { a = 2; })).b 2 ];
  libExtend = [ (lib.extend (f: p: { mine = f.id 1; })).mine 1 ];
  assertMsg = [ (lib.assertMsg true "x") true ];
  throwIf = [ (lib.throwIf false "x" 1) 1 ];
  toHex = [ [ (lib.toHexString 250) (lib.fromHexString "FF") (lib.toBaseDigits 2 6) (lib.mod 7 3) ] [ "FA" 255 [ 1 1 0 ] 1 ] ];
  textClosure = [ (lib.stringsWithDeps.textClosureMap lib.id { a = lib.stringsWithDeps.stringAfter [ "b" ] "A"; b = lib.noDepEntry "B"; } [ "a" "b" ]) "B\nA" ];
  getExe = [ [ (lib.getExe { outPath = "/p"; meta.mainProgram = "x"; type = "derivation"; }) (lib.getExe' { outPath = "/p"; type = "derivation"; } "y") ] [ "/p/bin/x" "/p/bin/y" ] ];
  callPackage = [ ((lib.callPackageWith { a = 1; }) ({ a, b ? 2 }: { r = a + b; }) { b = 5; }).r 6 ];
  override = [ ((lib.makeOverridable ({ a, b }: { r = a + b; }) { a = 1; b = 2; }).override { b = 9; }).r 10 ];

  # ── generators ───────────────────────────────────────────────────────────
  toPretty = [ (lib.generators.toPretty { } { a = [ 1 "x" null true ]; b = { }; "c d" = x: x; e = { f }: f; }) "{\n  a = [\n    1\n    \"x\"\n    null\n    true\n  ];\n  b = { };\n  \"c d\" = <function>;\n  e = <function, args: {f}>;\n}" ];
  toPrettyFlat = [ (lib.generators.toPretty { multiline = false; } { a = [ 1 2 ]; s = "x\ny"; }) "{ a = [ 1 2 ]; s = \"x\\ny\"; }" ];
  toPrettyLines = [ (lib.generators.toPretty { } "a\nb\n") "''\n  a\n  b\n''" ];
  toPrettyLines' = [ (lib.generators.toPretty { } { s = "a\nb"; }) "{\n  s = ''\n    a\n    b'';\n}" ];
  withRecursion = [ (lib.generators.withRecursion { depthLimit = 1; throwOnDepthLimit = false; } { a.b.c = 1; }) { a.b = "<unevaluated>"; } ];
  toINI = [ (lib.generators.toINI { } { s = { a = 1; b = true; }; t.x = "y"; }) "[s]\na=1\nb=true\n\n[t]\nx=y\n" ];
  toKeyValue = [ (lib.generators.toKeyValue { } { a = 1; b = "c"; }) "a=1\nb=c\n" ];
  toGitINI = [ (lib.generators.toGitINI { user.name = "A"; url."x".insteadOf = "y"; }) "[url \"x\"]\n\tinsteadOf = \"y\"\n\n[user]\n\tname = \"A\"\n" ];
  toJSON = [ (lib.generators.toJSON { } { a = 1; }) "{\"a\":1}" ];
  toPlist = [ (lib.generators.toPlist { escape = true; } { a = "<"; b = [ 1 ]; c = null; d = true; }) "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple Computer//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">\n<dict>\n\t<key>a</key>\n\t<string>&lt;</string>\n\t<key>b</key>\n\t<array>\n\t\t<integer>1</integer>\n\t</array>\n\t<key>d</key>\n\t<true/>\n</dict>\n</plist>" ];
  subpath = [ [ (lib.path.subpath.join [ "a" "./b//c" ]) (lib.path.subpath.isValid "../a") (lib.path.subpath.components "a/./b") (lib.path.removePrefix /a /a/b) (lib.path.hasPrefix /a /ab) ] [ "./a/b/c" false [ "a" "b" ] "./b" false ] ];

  # ── the module system: definitions ───────────────────────────────────────
  lists = [ (merged (types.listOf types.int) [ [ 1 ] [ 2 ] ]) [ 2 1 ] ];
  order = [ (merged (types.listOf types.int) [ [ 2 ] (lib.mkAfter [ 4 ]) (lib.mkBefore [ 1 ]) (lib.mkOrder 1200 [ 3 ]) ]) [ 1 2 3 4 ] ];
  orderLines = [ (merged types.lines [ "b" (lib.mkBefore "a") ]) "a\nb" ];
  priorities = [ (merged types.int [ (lib.mkDefault 1) 2 (lib.mkForce 3) (lib.mkOverride 10 4) ]) 4 ];
  optionDefault = [ (config [ (option { type = types.int; default = 1; }) { v = lib.mkDefault 2; } ]).v 2 ];
  optionDefaultJoins = [ (config [ (option { type = types.listOf types.int; default = [ 1 ]; }) { v = lib.mkOptionDefault [ 2 ]; } ]).v [ 1 2 ] ];
  ifs = [ (merged (types.listOf types.int) [ (lib.mkIf true [ 1 ]) (lib.mkIf false [ 2 ]) (lib.mkMerge [ [ 3 ] (lib.mkIf true [ 4 ]) ]) ]) [ 3 4 1 ] ];
  ifOverride = [ (merged types.int [ (lib.mkIf false (lib.mkForce 1)) (lib.mkDefault 2) ]) 2 ];
  ifTop = [ (config [ { options.a.b = mkOption { type = types.int; default = 0; }; options.a.c = mkOption { default = true; }; } ({ config, ... }: { config = lib.mkIf config.a.c { a.b = 5; }; }) ]).a.b 5 ];
  forceSet = [ (config [ { options.a.b = mkOption { type = types.int; }; } { a = lib.mkForce { b = 1; }; } { a.b = 2; } ]).a.b 1 ];
  bareIf = [ (config [ { options.v = mkOption { type = types.int; }; } (lib.mkIf true { v = 1; }) ]).v 1 ];
  apply = [ (config [ (option { type = types.int; default = 1; apply = x: x + 1; }) ]).v 2 ];
  readOnly = [ (config [ (option { type = types.int; readOnly = true; }) { v = 1; } ]).v 1 ];
  unset = [ (config [ (option { type = types.attrsOf types.int; }) ]).v { } ];
  definition = [ (map (d: d.file) (lib.evalModules { modules = [ (option { type = types.listOf types.int; }) { v = lib.mkDefinition { file = "elsewhere"; value = [ 1 ]; }; } ]; }).options.v.definitionsWithLocations) [ "elsewhere" ] ];
  optionFields = [ [ opts.options.v.highestPrio opts.options.v.files opts.options.v.isDefined opts.options.v.declarations opts.options.v.definitions (toString opts.options.v) opts.options.v.loc ] [ 50 [ "two.nix" ] true [ "one.nix" ] [ 2 ] "v" [ "v" ] ] ];
  isOption = [ (map lib.isOption [ (mkOption { }) { } ]) [ true false ] ];
  showOption = [ (map lib.showOption [ [ "a" "b" ] [ "a" "b.c" ] [ "a" "<name>" "*" ] [ "1" "x-y" ] ]) [ "a.b" "a.\"b.c\"" "a.<name>.*" "\"1\".x-y" ] ];
  showFiles = [ (lib.showFiles [ "a" "b" ]) "`a' and `b'" ];
  showDefs = [ (lib.options.showDefs [ { file = "f"; value = 1; } { file = "g"; value = { a = 1; }; } ]) "\n- In `f': 1\n- In `g':\n    {\n      a = 1;\n    }" ];

  # ── the module system: modules ───────────────────────────────────────────
  args = [ (config [ (option { }) ({ x, ... }: { v = x; }) { _module.args.x = 3; } ]).v 3 ];
  specialArgs = [ (lib.evalModules { specialArgs.x = [ (option { default = 1; }) ]; modules = [ ({ x, ... }: { imports = x; }) ]; }).config.v 1 ];
  classArg = [ (lib.evalModules { class = "nixos"; modules = [ (option { }) ({ _class, ... }: { v = _class; }) ]; }).config.v "nixos" ];
  prefixArg = [ (lib.evalModules { prefix = [ "a" ]; modules = [ (option { }) ({ _prefix, ... }: { v = _prefix; }) ]; }).config.v [ "a" ] ];
  className = [ (lib.evalModules { class = "x"; modules = [ { _class = "x"; } { _class = null; } ]; }).class "x" ];
  imports = [ (config [ (option { type = types.listOf types.int; }) { imports = [ { v = [ 1 ]; } ({ ... }: { v = [ 2 ]; }) ]; v = [ 3 ]; } ]).v [ 2 1 3 ] ];
  importsDeep = [ (config [ (option { type = types.listOf types.str; }) { v = [ "a" ]; imports = [ { v = [ "b" ]; imports = [ { v = [ "c" ]; } ]; } { v = [ "d" ]; } ]; } { v = [ "e" ]; } ]).v [ "c" "d" "b" "e" "a" ] ];
  keyOnce = [ (config [ (option { type = types.listOf types.int; }) { key = "k"; v = [ 1 ]; } { imports = [ { key = "k"; v = [ 1 ]; } ]; } ]).v [ 1 ] ];
  disabled = [ (config [ (option { type = types.listOf types.int; }) { key = "k"; v = [ 1 ]; imports = [ { v = [ 5 ]; } ]; } { disabledModules = [ { key = "k"; } ]; v = [ 2 ]; } ]).v [ 2 ] ];
  pathModule = [ (config [ ./module.nix { value = 2; } ]).value 2 ];
  pathDisabled = [ (config [ ./module.nix { disabledModules = [ ./module.nix ]; options.value = mkOption { default = 9; }; } ]).value 9 ];
  stringDisabled = [ (lib.evalModules { specialArgs.modulesPath = ./.; modules = [ ./module.nix { disabledModules = [ "module.nix" ]; options.value = mkOption { default = 9; }; } ]; }).config.value 9 ];
  functor = [ (config [ (option { }) { __functor = _: { ... }: { v = 1; }; } ]).v 1 ];
  location = [ (lib.evalModules { modules = [ (option { type = types.int; }) (lib.setDefaultModuleLocation "here.nix" { v = 1; }) ]; }).options.v.files [ "here.nix" ] ];
  importApply = [ (config [ (lib.modules.importApply ./apply.nix { n = 7; }) ]).applied 7 ];
  extendModules = [ ((lib.evalModules { modules = [ (option { type = types.int; default = 1; }) ]; }).extendModules { modules = [ { v = 2; } ]; }).config.v 2 ];
  extendSpecial = [ ((lib.evalModules { specialArgs = { a = 1; b = 1; }; modules = [ (option { }) ({ a, b, ... }: { v = a + b; }) ]; }).extendModules { specialArgs.b = 5; }).config.v 6 ];
  extendInside = [ (config [ (option { default = 1; }) ({ extendModules, ... }: { options.w = mkOption { default = (extendModules { modules = [ { v = 5; } ]; }).config.v; }; }) ]).w 5 ];
  configurationType = [ (config [ { options.sub = mkOption { type = (lib.evalModules { modules = [ (option { default = 1; }) ]; }).type; default = { }; }; } { sub.v = 4; } ]).sub.v 4 ];
  uncheck = [ (config [ (option { default = 1; }) { _module.check = false; nothing = 1; } ]) { v = 1; } ];
  resultFields = [ (lib.remove "graph" (builtins.attrNames (lib.evalModules { modules = [ ]; }))) [ "_module" "_type" "class" "config" "extendModules" "options" "type" ] ];
  freeform = [ (config [ { freeformType = types.attrsOf types.int; options.a = mkOption { type = types.str; default = "x"; }; } { b = 1; } { c = lib.mkIf false 2; } ]) { a = "x"; b = 1; } ];
  freeformNested = [ (config [ { freeformType = (types.lazyAttrsOf types.anything); options.a.b = mkOption { default = 1; }; } { a.c = 2; d.e = 3; } ]) { a = { b = 1; c = 2; }; d.e = 3; } ];
  alias = [ (config [ (lib.mkAliasOptionModule [ "old" ] [ "new" "x" ]) { options.new.x = mkOption { type = types.int; default = 0; }; } { old = 5; } ]) { new.x = 5; old = 5; } ];
  aliasDefault = [ (config [ (lib.mkAliasOptionModule [ "old" ] [ "new" ]) { options.new = mkOption { type = types.int; default = 0; }; } { old = lib.mkDefault 5; } { new = 6; } ]).new 6 ];
  renamed = [ (config [ (lib.mkRenamedOptionModule [ "old" ] [ "new" ]) { options.new = mkOption { type = types.int; }; options.warnings = mkOption { type = types.listOf types.str; default = [ ]; }; } { _file = "f.nix"; old = 5; } ]).warnings [ "The option `old' defined in `f.nix' has been renamed to `new'." ] ];
  removed = [ (map (a: a.message) (config [ (lib.mkRemovedOptionModule [ "old" ] "Use new.") { options.assertions = mkOption { type = types.listOf types.unspecified; default = [ ]; }; } { _file = "f.nix"; old = 5; } ]).assertions) [ "The option definition `old' in `f.nix' no longer has any effect; please remove it.\nUse new.\n" ] ];
  changed = [ (config [ (lib.mkChangedOptionModule [ "old" ] [ "new" ] (c: c.old + 1)) { options.new = mkOption { type = types.int; }; options.warnings = mkOption { type = types.listOf types.str; default = [ ]; }; } { old = 5; } ]).new 6 ];
  derived = [ (config [ (option { type = types.int; default = 1; }) ({ options, ... }: { options.w = mkOption { type = types.int; }; config.w = lib.mkDerivedConfig options.v (x: x + 1); }) ]).w 2 ];
  moduleJSON = [ (config [ { freeformType = types.attrsOf types.anything; } (lib.modules.importJSON ./module.json) ]).a.b 1 ];
  mergedDecls = [ (config [ { options.v = mkOption { type = types.attrsOf (types.submodule { options.a = mkOption { default = 1; }; }); }; } { options.v = mkOption { type = types.attrsOf (types.submodule { options.b = mkOption { default = 2; }; }); }; } { v.x = { }; } ]).v.x { a = 1; b = 2; } ];
  mergedEnum = [ (config [ { options.v = mkOption { type = types.enum [ "a" ]; }; } { options.v = mkOption { type = types.enum [ "b" ]; }; } { v = "b"; } ]).v "b" ];
  nestedBelowSubmodule = [ (config [ { options.v = mkOption { type = types.submodule { options.a = mkOption { default = 1; }; }; default = { }; }; } { options.v.b = mkOption { default = 2; }; } ]).v { a = 1; b = 2; } ];

  # ── types ────────────────────────────────────────────────────────────────
  bools = [ (merged types.bool [ true true ]) true ];
  boolByOr = [ (merged types.boolByOr [ false true ]) true ];
  checks = [
    (lib.mapAttrs (_: c: map c.t.check c.v) {
      str = { t = types.str; v = [ "a" 1 ]; };
      nonEmpty = { t = types.nonEmptyStr; v = [ "a" " " ]; };
      single = { t = types.singleLineStr; v = [ "a\n" "a\nb" ]; };
      matching = { t = types.strMatching "[a-z]+"; v = [ "ab" "a1" ]; };
      port = { t = types.port; v = [ 0 65535 65536 ]; };
      u8 = { t = types.ints.u8; v = [ 255 256 ]; };
      s8 = { t = types.ints.s8; v = [ (-128) 128 ]; };
      unsigned = { t = types.ints.unsigned; v = [ 0 (-1) ]; };
      positive = { t = types.ints.positive; v = [ 1 0 ]; };
      between = { t = types.ints.between 1 3; v = [ 3 4 ]; };
      number = { t = types.number; v = [ 1 1.5 "x" ]; };
      float = { t = types.float; v = [ 1 1.5 ]; };
      path = { t = types.path; v = [ "/a" "a" /a { outPath = "/x"; } ]; };
      enum = { t = types.enum [ "a" 1 ]; v = [ "a" 1 "b" ]; };
      nullOr = { t = types.nullOr types.int; v = [ null 1 "a" ]; };
      either = { t = types.either types.int types.str; v = [ 1 "a" true ]; };
      listOf = { t = types.listOf types.int; v = [ [ ] { } ]; };
      nonEmptyList = { t = types.nonEmptyListOf types.int; v = [ [ ] [ 1 ] ]; };
      attrsOf = { t = types.attrsOf types.int; v = [ { } [ ] ]; };
      package = { t = types.package; v = [ { type = "derivation"; } { } "/nix/store/d945ibfx9x185xf04b890y4f9g3cbb63-python" ]; };
      functionTo = { t = types.functionTo types.int; v = [ (x: x) 1 ]; };
      submodule = { t = types.submodule { }; v = [ { } (x: x) "a" ]; };
      attrTag = { t = types.attrTag { a = mkOption { type = types.int; }; }; v = [ { a = 1; } { } ]; };
      addCheck = { t = types.addCheck types.int (x: x > 3); v = [ 4 3 ]; };
      passwd = { t = types.passwdEntry types.str; v = [ "a" "a:b" ]; };
    })
    {
      str = [ true false ];
      nonEmpty = [ true false ];
      single = [ true false ];
      matching = [ true false ];
      port = [ true true false ];
      u8 = [ true false ];
      s8 = [ true false ];
      unsigned = [ true false ];
      positive = [ true false ];
      between = [ true false ];
      number = [ true true false ];
      float = [ false true ];
      path = [ true false true true ];
      enum = [ true true false ];
      nullOr = [ true true false ];
      either = [ true true false ];
      listOf = [ true false ];
      nonEmptyList = [ false true ];
      attrsOf = [ true false ];
      package = [ true false true ];
      functionTo = [ true false ];
      submodule = [ true true false ];
      attrTag = [ true false ];
      addCheck = [ true false ];
      passwd = [ true false ];
    }
  ];
  strings = [ [ (merged (types.separatedString ":") [ "a" "b" ]) (merged types.commas [ "a" "b" ]) ] [ "b:a" "b,a" ] ];
  attrs = [ (merged types.attrs [ { a = 1; } { b = 2; } ]) { a = 1; b = 2; } ];
  attrsOfIf = [ (merged (types.attrsOf types.int) [ { a = lib.mkIf false 1; b = lib.mkDefault 1; } { b = 2; } ]) { b = 2; } ];
  lazyAttrs = [ (builtins.attrNames (merged (types.lazyAttrsOf types.int) [ { a = throw "x"; } ])) [ "a" ] ];
  lazyAttrsOrder = [ (merged (types.lazyAttrsOf (types.listOf types.int)) [ { a = [ 1 ]; } { a = [ 2 ]; } ]) { a = [ 2 1 ]; } ];
  listOfIf = [ (merged (types.listOf types.int) [ [ 1 (lib.mkIf false 2) 3 ] ]) [ 1 3 ] ];
  anything = [ (merged types.anything [ { a.b = 1; c = "x"; } { a.d = [ 1 ]; c = "x"; } ]) { a = { b = 1; d = [ 1 ]; }; c = "x"; } ];
  anythingFunction = [ (merged types.anything [ (x: { a = x; }) (x: { b = x; }) ] 1) { a = 1; b = 1; } ];
  nullOr = [ [ (merged (types.nullOr types.int) [ null ]) (merged (types.nullOr types.lines) [ "a" "b" ]) ] [ null "b\na" ] ];
  functionTo = [ (merged (types.functionTo (types.listOf types.int)) [ (x: [ x ]) (x: [ (x + 1) ]) ] 1) [ 2 1 ] ];
  coercedTo = [ (merged (types.coercedTo types.int toString types.str) [ 1 ]) "1" ];
  coercedList = [ (merged (types.listOf (types.coercedTo types.int toString types.str)) [ [ 1 "a" ] ]) [ "1" "a" ] ];
  eitherMerge = [ (merged (types.either (types.listOf types.int) types.str) [ [ 1 ] [ 2 ] ]) [ 2 1 ] ];
  attrTag = [ (merged (types.attrTag { a = mkOption { type = types.int; }; b = mkOption { type = types.submodule { options.x = mkOption { default = 1; }; }; }; }) [ { b = { }; } ]) { b.x = 1; } ];
  raw = [ (merged types.raw [ { a = 1; } ]) { a = 1; } ];
  uniq = [ (merged (types.uniq types.int) [ 1 ]) 1 ];
  submodule = [ (merged (types.attrsOf (types.submodule ({ name, config, ... }: { options.n = mkOption { default = name; }; options.m = mkOption { type = types.listOf types.int; default = [ ]; }; }))) [ { a.m = [ 1 ]; } { a.m = [ 2 ]; b = { }; } ]) { a = { n = "a"; m = [ 1 2 ]; }; b = { n = "b"; m = [ ]; }; } ];
  submoduleFunction = [ (merged (types.submodule { options.a = mkOption { default = 1; }; options.b = mkOption { type = types.int; }; }) [ ({ config, ... }: { b = config.a + 1; }) ]) { a = 1; b = 2; } ];
  submodulePath = [ (merged (types.submodule { }) [ ./module.nix { value = 3; } ]).value 3 ];
  submoduleWith = [ (merged (types.submoduleWith { modules = [ ({ x, ... }: { options.a = mkOption { default = x; }; }) ]; specialArgs.x = 8; }) [ { config = { }; } ]).a 8 ];
  submoduleConfigKey = [ (merged (types.submodule { options.config = mkOption { type = types.int; }; }) [ { config = 1; } ]).config 1 ];
  submoduleListName = [ (map (x: lib.hasPrefix "[definition 1-entry 1]" x.n) (merged (types.listOf (types.submodule ({ name, ... }: { options.n = mkOption { default = name; }; }))) [ [ { } ] ])) [ true ] ];
  deferred = [ (config [ { options.d = mkOption { type = types.deferredModule; }; options.out = mkOption { }; } { d = { a = [ 1 ]; }; } { d = { lib, ... }: { options.a = lib.mkOption { type = lib.types.listOf lib.types.int; }; }; } ({ config, ... }: { out = (lib.evalModules { modules = [ config.d ]; }).config.a; }) ]).out [ 1 ] ];
  deferredStatic = [ (lib.evalModules { modules = [ (merged (types.deferredModuleWith { staticModules = [ { options.s = mkOption { default = 4; }; } ]; }) [ { } ]) ]; }).config.s 4 ];
  deferredFile = [ (lib.evalModules { modules = [ (option { type = types.int; }) (lib.evalModules { modules = [ { options.d = mkOption { type = types.deferredModule; }; } { _file = "f.nix"; d.v = 1; } ]; }).config.d ]; }).options.v.files [ "f.nix, via option d" ] ];
  optionType = [ (merged types.optionType [ types.int ]).name "int" ];
  optionTypeMerged = [ ((merged types.optionType [ (types.submodule { options.a = mkOption { default = 1; }; }) (types.submodule { options.b = mkOption { default = 2; }; }) ]).getSubOptions [ ] ? b) true ];
  subOptions = [ (builtins.attrNames ((types.attrsOf (types.submodule { options.a = mkOption { }; })).getSubOptions [ "x" ])) [ "_module" "a" ] ];
  subOptionLoc = [ ((types.attrsOf (types.submodule { options.a = mkOption { }; })).getSubOptions [ "x" ]).a.loc [ "x" "<name>" "a" ] ];
  descriptions = [
    (map describe [
      types.str
      types.bool
      (types.listOf types.int)
      (types.attrsOf (types.listOf types.str))
      (types.nullOr types.int)
      (types.either types.int types.str)
      (types.oneOf [ types.int types.str types.bool ])
      (types.nullOr (types.listOf types.str))
      (types.listOf (types.nullOr types.str))
      (types.enum [ "a" "b" ])
      (types.enum [ "a" ])
      types.port
      types.ints.unsigned
      (types.ints.between 1 3)
      (types.strMatching "a+")
      types.lines
      types.path
      types.package
      types.deferredModule
      (types.submodule { })
      (types.lazyAttrsOf types.raw)
      (types.functionTo types.str)
      (types.coercedTo types.int toString types.str)
      (types.nonEmptyListOf types.str)
      (types.attrTag { a = mkOption { }; b = mkOption { }; })
      types.anything
      types.unspecified
      types.attrs
      (types.either types.ints.positive types.str)
      (types.passwdEntry types.str)
      (types.uniq types.int)
      (types.listOf (types.attrsOf types.int))
      (types.submodule { freeformType = types.attrsOf types.int; })
    ])
    [
      "string"
      "boolean"
      "list of signed integer"
      "attribute set of list of string"
      "null or signed integer"
      "signed integer or string"
      "signed integer or string or boolean"
      "null or (list of string)"
      "list of (null or string)"
      "one of \"a\", \"b\""
      "value \"a\" (singular enum)"
      "16 bit unsigned integer; between 0 and 65535 (both inclusive)"
      "unsigned integer, meaning >=0"
      "integer between 1 and 3 (both inclusive)"
      "string matching the pattern a+"
      "strings concatenated with \"\\n\""
      "absolute path"
      "package"
      "module"
      "submodule"
      "lazy attribute set of raw value"
      "function that evaluates to a(n) string"
      "string or signed integer convertible to it"
      "non-empty (list of string)"
      "attribute-tagged union with choices: a, b"
      "anything"
      "unspecified value"
      "attribute set"
      "positive integer, meaning >0, or string"
      "string, not containing newlines or colons"
      "signed integer"
      "list of attribute set of signed integer"
      "open submodule of attribute set of signed integer"
    ]
  ];
}
