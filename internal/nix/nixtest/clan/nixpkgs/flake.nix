# An old but complete nixpkgs tree under the current lib. What generators run is
# swapped for static programs of the host, since nothing of the tree can be
# built without a network; options that it does not know are ignored.
{
  outputs =
    { self }:
    let
      lib = import ./current-lib;

      static =
        system: name: script: attrs:
        derivation (
          {
            inherit name system;
            builder = "/bin/sh";
            args = [
              "-c"
              "PATH=/usr/bin:/bin\n${script}"
            ];
          }
          // attrs
        );

      programs = system: final: _: {
        coreutils =
          static system "coreutils-host" ''
            mkdir -p $out/bin
            cp /bin/busybox $out/bin/
            cp /bin/bash-static $out/bin/bash
            for applet in $(/bin/busybox --list); do
              [ $applet = bash ] || ln -s busybox $out/bin/$applet
            done
          '' { }
          // {
            meta = { };
          };
        bash = final.coreutils;
        writeScript =
          name: text:
          static system name
            ''
              cp $textPath $out
              chmod +x $out
            ''
            {
              inherit text;
              passAsFile = [ "text" ];
            };
      };

      pkgsFor =
        system:
        import ./. {
          inherit system;
          config.allowUnfree = true;
          overlays = [
            (_: _: { _type = "pkgs"; }) # by which the current modules know it
          ]
          ++ lib.optional (system == "x86_64-linux") (programs system);
        };
    in
    {
      lib = lib // {
        nixosSystem = import ./nixos-system.nix {
          inherit lib;
          pkgs = self.legacyPackages.x86_64-linux;
        };
      };
      legacyPackages = lib.genAttrs [
        "x86_64-linux"
        "aarch64-linux"
        "aarch64-darwin"
        "x86_64-darwin"
      ] pkgsFor;
    };
}
