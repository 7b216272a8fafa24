{ lib }:
let
  inherit (builtins) foldl';
in
rec {
  inherit (builtins)
    add
    addErrorContext
    bitAnd
    bitOr
    bitXor
    deepSeq
    ceil
    div
    floor
    genericClosure
    isBool
    isFloat
    isInt
    lessThan
    mul
    pathExists
    readFile
    readDir
    readFileType
    seq
    sub
    tryEval
    ;

  id = x: x;
  const = x: _: x;
  pipe = foldl' (x: f: f x);
  concat = a: b: a ++ b;
  flip =
    f: a: b:
    f b a;
  or = a: b: a || b;
  and = a: b: a && b;
  xor = a: b: a != b;
  bitNot = builtins.sub (-1);
  mergeAttrs = a: b: a // b;
  defaultTo = default: x: if x == null then default else x;
  mapNullable = f: x: if x == null then null else f x;
  boolToString = b: if b then "true" else "false";
  boolToYesNo = b: if b then "yes" else "no";
  min = a: b: if a < b then a else b;
  max = a: b: if a > b then a else b;
  mod = base: int: base - int * (builtins.div base int);
  compare =
    a: b:
    if a < b then
      -1
    else if a > b then
      1
    else
      0;
  splitByAndCompare =
    p: yes: no: a: b:
    if p a then
      if p b then yes a b else -1
    else if p b then
      1
    else
      no a b;

  # The release that our modules speak like; versions of lib are compared with it.
  release = "26.11";
  versionSuffix = "pre-fleet";
  version = release + versionSuffix;
  codeName = "Offline";
  oldestSupportedRelease = 2511;
  oldestSupportedReleaseIsAtLeast = release': release' <= oldestSupportedRelease;
  revisionWithDefault = default: default;
  inNixShell = false;
  inPureEvalMode = !builtins ? currentSystem;

  importJSON = file: builtins.fromJSON (builtins.readFile file);
  importTOML = file: builtins.fromTOML (builtins.readFile file);

  warn = builtins.warn or (message: builtins.trace "evaluation warning: ${message}");
  warnIf = condition: message: if condition then warn message else id;
  warnIfNot = condition: warnIf (!condition);
  throwIf = condition: message: if condition then throw message else id;
  throwIfNot = condition: throwIf (!condition);
  info = message: builtins.trace "INFO: ${message}";
  showWarnings = warnings: x: builtins.foldl' (rest: w: warn w rest) x warnings;
  checkListOfEnum =
    message: valid: given:
    let
      unexpected = lib.subtractLists valid given;
    in
    throwIfNot (unexpected == [ ])
      "${message}: ${lib.concatStringsSep ", " (map toString unexpected)} unexpected; valid ones: ${lib.concatStringsSep ", " (map toString valid)}";

  # A functor with __functionArgs lets attribute sets stand for functions.
  setFunctionArgs = f: args: {
    __functor = _: f;
    __functionArgs = args;
  };
  functionArgs =
    f:
    if f ? __functor then
      f.__functionArgs or (lib.functionArgs (f.__functor f))
    else
      builtins.functionArgs f;
  isFunction = f: builtins.isFunction f || (f ? __functor && lib.isFunction (f.__functor f));
  toFunction = x: if lib.isFunction x then x else _: x;
  mirrorFunctionArgs =
    f:
    let
      args = lib.functionArgs f;
    in
    g: setFunctionArgs g args;

  fromHexString = s: (builtins.fromTOML "v = 0x${s}").v;
  toHexString =
    n:
    lib.concatMapStrings (
      d: builtins.elemAt (lib.stringToCharacters "0123456789ABCDEF") d
    ) (toBaseDigits 16 n);
  toBaseDigits =
    base: n:
    let
      go = i: if i < base then [ i ] else go (i / base) ++ [ (mod i base) ];
    in
    go n;
}
