# What lib must refuse: name = an expression whose evaluation fails. The golden
# file errors.txt has the messages; they are those of the real lib too.
# One line a case, whatever a formatter would say.
{ lib }:
let
  inherit (lib) mkOption types;
  evaluate =
    modules: builtins.deepSeq (lib.evalModules { inherit modules; }).config "no error";
  at = file: m: m // { _file = file; };
  option = attrs: {
    _file = "options.nix";
    options.v = mkOption attrs;
  };
  int = option { type = types.int; };
in
{
  undeclared = evaluate [ int (at "a.nix" { v = 1; wrong = { x = 1; }; }) ];
  undeclaredNear = evaluate [
    { options.services.openssh.enable = mkOption { default = false; }; }
    (at "a.nix" { services.opensssh.enable = true; })
  ];
  undeclaredInside = evaluate [
    { options.services.openssh = { enable = mkOption { default = false; }; port = mkOption { default = 1; }; }; }
    (at "a.nix" { services.openssh.enabled = true; })
  ];
  undeclaredInSubmodule = evaluate [
    (option { type = types.attrsOf (types.submodule { options.name = mkOption { default = 1; }; }); })
    (at "a.nix" { v.x.nam = 1; })
  ];
  undeclaredSubmoduleEmpty = evaluate [
    (option { type = types.submodule { }; })
    (at "a.nix" { v.x = 1; })
  ];
  optionInConfig = evaluate [ (at "a.nix" { v = mkOption { }; }) ];
  conflict = evaluate [ int (at "a.nix" { v = 1; }) (at "b.nix" { v = 2; }) ];
  conflictStrings = evaluate [ (option { type = types.str; }) (at "a.nix" { v = "one"; }) (at "b.nix" { v = "two"; }) ];
  conflictForce = evaluate [ int (at "a.nix" { v = lib.mkForce 1; }) (at "b.nix" { v = lib.mkForce 2; }) ];
  conflictNested = evaluate [ { options.a."b.c".d = mkOption { type = types.bool; }; } (at "a.nix" { a."b.c".d = true; }) (at "b.nix" { a."b.c".d = false; }) ];
  unset = evaluate [ int ];
  unsetInSubmodule = evaluate [ (option { type = types.attrsOf (types.submodule { options.x = mkOption { type = types.int; }; }); }) (at "a.nix" { v.foo = { }; }) ];
  wrongType = evaluate [ int (at "a.nix" { v = "x"; }) ];
  wrongTypeLong = evaluate [ int (at "a.nix" { v = { a = 1; b = 2; c = 3; d = 4; e = 5; f = 6; }; }) ];
  wrongTypeInList = evaluate [ (option { type = types.listOf types.int; }) (at "a.nix" { v = [ 1 "x" ]; }) ];
  wrongTypeInAttrs = evaluate [ (option { type = types.attrsOf types.port; }) (at "a.nix" { v.http = 70000; }) ];
  wrongEnum = evaluate [ (option { type = types.enum [ "a" "b" ]; }) (at "a.nix" { v = "c"; }) ];
  wrongMatching = evaluate [ (option { type = types.strMatching "[a-z]+"; }) (at "a.nix" { v = "A"; }) ];
  wrongEither = evaluate [ (option { type = types.either types.int types.bool; }) (at "a.nix" { v = "A"; }) ];
  wrongNull = evaluate [ (option { type = types.nullOr types.int; }) (at "a.nix" { v = null; }) (at "b.nix" { v = 1; }) ];
  wrongDefault = evaluate [ (option { type = types.int; default = "x"; }) ];
  wrongCoerced = evaluate [ (option { type = types.coercedTo types.int toString types.str; }) (at "a.nix" { v = true; }) ];
  wrongAnything = evaluate [ (option { type = types.anything; }) (at "a.nix" { v = 1; }) (at "b.nix" { v = "x"; }) ];
  wrongTag = evaluate [ (option { type = types.attrTag { a = mkOption { }; }; }) (at "a.nix" { v.b = 1; }) ];
  wrongTags = evaluate [ (option { type = types.attrTag { a = mkOption { type = types.int; }; b = mkOption { type = types.int; }; }; }) (at "a.nix" { v.b = 1; }) (at "b.nix" { v.a = 1; }) ];
  wrongDeferred = evaluate [ (option { type = types.deferredModule; }) (at "a.nix" { v = 1; }) ];
  wrongPackage = evaluate [ (option { type = types.package; }) (at "a.nix" { v = 1; }) ];
  readOnly = evaluate [ (option { type = types.int; readOnly = true; default = 1; }) (at "a.nix" { v = 2; }) ];
  unique = evaluate [ (option { type = types.unique { message = "Say it once."; } types.int; }) (at "a.nix" { v = 2; }) (at "b.nix" { v = 2; }) ];
  uniq = evaluate [ (option { type = types.uniq types.int; }) (at "a.nix" { v = 2; }) (at "b.nix" { v = 2; }) ];
  raw = evaluate [ (option { type = types.raw; }) (at "a.nix" { v = 2; }) (at "b.nix" { v = 2; }) ];
  untyped = evaluate [ (option { }) (at "a.nix" { v = 2; }) (at "b.nix" { v = "x"; }) ];
  declaredTwice = evaluate [ (at "a.nix" { options.v = mkOption { default = 1; }; }) (at "b.nix" { options.v = mkOption { default = 2; }; }) ];
  declaredTypes = evaluate [ (at "a.nix" { options.v = mkOption { type = types.int; }; }) (at "b.nix" { options.v = mkOption { type = types.str; }; }) ];
  declaredBelow = evaluate [ (at "a.nix" { options.v = mkOption { type = types.int; }; }) (at "b.nix" { options.v.x = mkOption { }; }) ];
  declaredBare = evaluate [ (at "a.nix" { options.v = types.int; }) ];
  notASet = evaluate [ { options.a.b = mkOption { default = 1; }; } (at "a.nix" { a = 1; }) ];
  optionsNotASet = evaluate [ (at "a.nix" { options.a = 1; }) ];
  mixedForms = evaluate [ (at "a.nix" { key = "a.nix"; options.v = mkOption { default = 1; }; w = 1; }) ];
  nestedImports = evaluate [ (at "a.nix" { imports = [ [ { } ] ]; }) ];
  notAModule = evaluate [ (at "a.nix" { imports = [ 1 ]; }) ];
  class = (lib.evalModules { class = "nixos"; modules = [ (at "a.nix" { _class = "darwin"; }) ]; }).config;
  ifNotBool = evaluate [ int (at "a.nix" { v = lib.mkIf "yes" 1; }) ];
  removed = (lib.evalModules { modules = [ (lib.mkRemovedOptionModule [ "a" "b" ] "Use c.") { options.assertions = mkOption { }; } ]; }).config.a.b;
  disabledNoKey = evaluate [ (at "a.nix" { disabledModules = [ { } ]; }) ];
  sinkless = evaluate [ (option { type = types.listOf types.int; apply = x: throw "applied"; default = [ ]; }) ];
  callPackage = (lib.callPackageWith { hello = 1; }) ({ helo }: { }) { };
  packageOption = (mkOption { }) // (lib.mkPackageOption { } "hello" { }).default;
  assertMsg = lib.assertMsg false "said";
  last = lib.last [ ];
  getAttrFromPath = lib.getAttrFromPath [ "a" "b" ] { };
  toInt = lib.toInt "x";
  literal = lib.literalExpression 1;
  oneOf = types.oneOf [ ];
}
