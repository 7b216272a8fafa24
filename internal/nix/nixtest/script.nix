# Makes scripts of texts, out of the static programs of this machine.
let
  run =
    name: command: extra:
    derivation (
      {
        inherit name;
        system = builtins.currentSystem;
        builder = "/bin/busybox";
        args = [
          "sh"
          "-c"
          command
        ];
      }
      // extra
    );
  bash = run "bash" "/bin/busybox mkdir -p $out/bin; /bin/busybox cp /bin/bash-static $out/bin/bash" { };
  busybox = run "busybox" "/bin/busybox mkdir -p $out/bin; /bin/busybox cp /bin/busybox $out/bin; $out/bin/busybox --install -s $out/bin" { };
in
map (
  text:
  let
    script = run "script" "/bin/busybox cp $textPath $out; /bin/busybox chmod +x $out" {
      passAsFile = [ "text" ];
      text = "#!${bash}/bin/bash\nset -euo pipefail\nexport PATH=${busybox}/bin\n" + text;
    };
  in
  {
    DrvPath = script.drvPath;
    OutPath = script.outPath;
  }
)
