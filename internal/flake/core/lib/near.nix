# The end of a sentence about a name that does not exist: the names that were
# probably meant, or else all there are.
{ lib }:
name: candidates:
let
  distance = lib.strings.levenshtein name;
  limit = lib.max 2 (builtins.stringLength name / 3);
  close = lib.sort (a: b: distance a < distance b) (
    builtins.filter (candidate: distance candidate <= limit) candidates
  );
  some = lib.take 3 close;
in
if some != [ ] then
  "did you mean ${lib.concatStringsSep " or " some}?"
else if candidates == [ ] then
  "there is none"
else
  "there is ${lib.concatStringsSep ", " candidates}"
