{ lib }:
rec {
  inherit (builtins) trace;
  traceIf =
    condition: message: x:
    if condition then builtins.trace message x else x;
  traceVal = x: builtins.trace x x;
  traceValFn = f: x: builtins.trace (f x) x;
  traceSeq = x: y: builtins.trace (builtins.deepSeq x x) y;
  traceValSeq = x: traceSeq x x;
  # Runs a set of { expr; expected; } and lists those that differ.
  runTests =
    tests:
    lib.concatLists (
      lib.mapAttrsToList (
        name: t:
        lib.optional (t.expr != t.expected) {
          inherit name;
          inherit (t) expected;
          result = t.expr;
        }
      ) (lib.filterAttrs (n: _: lib.hasPrefix "test" n || n == "expr") tests)
    );
}
