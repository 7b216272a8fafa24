# The script of a generator as a program that can be executed directly.
{
  lib,
  pkgs,
  generator,
}:
let
  persisted = lib.filter (prompt: prompt.persist) (lib.attrValues generator.prompts);

  # A path literal is read; text stays as it is, with the packages it names.
  body =
    if builtins.isPath generator.script then
      builtins.readFile generator.script
    else
      "${generator.script}";

  name = lib.strings.sanitizeDerivationName "generator-${generator.name}";
in
pkgs.writeScript name ''
  #!${pkgs.bash}/bin/bash
  set -euo pipefail
  export PATH=${lib.makeBinPath (generator.runtimeInputs ++ [ pkgs.coreutils ])}
  ${lib.concatMapStrings (prompt: ''
    cat "$prompts"/${lib.escapeShellArg prompt.name} > "$out"/${lib.escapeShellArg prompt.name}
  '') persisted}
  ${body}
''
