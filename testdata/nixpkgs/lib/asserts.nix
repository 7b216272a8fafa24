{ lib }:
rec {
  # For `assert assertMsg condition "why"; …`.
  assertMsg = condition: message: condition || throw message;
  assertOneOf =
    name: value: valid:
    assertMsg (builtins.elem value valid)
      "${name} must be one of ${lib.generators.toPretty { } valid}, but is: ${lib.generators.toPretty { } value}";
  assertEachOneOf =
    name: values: valid:
    assertMsg (builtins.all (v: builtins.elem v valid) values)
      "each element in ${name} must be one of ${lib.generators.toPretty { } valid}, but is: ${lib.generators.toPretty { } values}";
  checkAssertWarn =
    assertions: warnings: value:
    let
      failed = map (a: a.message) (builtins.filter (a: !a.assertion) assertions);
    in
    if failed != [ ] then
      throw "\nFailed assertions:\n${lib.concatMapStringsSep "\n" (m: "- ${m}") failed}"
    else
      lib.showWarnings warnings value;
}
