{ lib }:
rec {
  inherit (lib.strings) versionAtLeast versionOlder;
  splitVersion = builtins.splitVersion;
  major = v: builtins.elemAt (splitVersion v) 0;
  minor = v: builtins.elemAt (splitVersion v) 1;
  patch = v: builtins.elemAt (splitVersion v) 2;
  majorMinor = v: lib.concatStringsSep "." (lib.take 2 (splitVersion v));
  pad =
    n: v:
    let
      numbers = builtins.head (lib.splitString "-" v);
      suffix = lib.removePrefix numbers v;
    in
    lib.concatStringsSep "." (lib.take n (splitVersion numbers ++ lib.lists.replicate n "0")) + suffix;
}
