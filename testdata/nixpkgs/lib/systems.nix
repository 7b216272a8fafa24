{ lib }:
rec {
  flakeExposed = [
    "x86_64-linux"
    "aarch64-linux"
    "x86_64-darwin"
    "aarch64-darwin"
  ];
  doubles.all = flakeExposed;
  # A system string (or { system = …; }) as the facts that packages ask for.
  elaborate =
    given:
    let
      system = if builtins.isAttrs given then given.system else given;
      parts = lib.splitString "-" system;
      kernel = lib.last parts;
      cpu = builtins.head parts;
    in
    if !builtins.elem system flakeExposed then
      throw "lib.systems.elaborate: unknown system ${builtins.toJSON system}; known are ${toString flakeExposed}"
    else
      {
        inherit system;
        config = "${cpu}-${if kernel == "darwin" then "apple-darwin" else "unknown-linux-gnu"}";
        isLinux = kernel == "linux";
        isDarwin = kernel == "darwin";
        isUnix = true;
        isWindows = false;
        isx86_64 = cpu == "x86_64";
        isAarch64 = cpu == "aarch64";
        is64bit = true;
        linuxArch = if cpu == "aarch64" then "arm64" else cpu;
        darwinArch = if cpu == "aarch64" then "arm64" else cpu;
        parsed = {
          cpu.name = cpu;
          kernel.name = kernel;
        };
        canExecute = other: other.system == system;
        __toString = _: system;
      };
  equals = a: b: a.system == b.system;
  inspect.patterns = { };
}
