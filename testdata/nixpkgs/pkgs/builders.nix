# The trivial builders, as nixpkgs has them.
final: prev:
let
  inherit (final) lib stdenv;
  inherit (lib) concatMapStrings escapeShellArg optionalString;
in
{
  runCommand =
    name: env: buildCommand:
    stdenv.mkDerivation (
      {
        inherit name buildCommand;
        passAsFile = [ "buildCommand" ] ++ env.passAsFile or [ ];
      }
      // removeAttrs env [ "passAsFile" ]
    );
  runCommandLocal = final.runCommand;
  runCommandCC = final.runCommand;

  writeTextFile =
    {
      name,
      text,
      executable ? false,
      destination ? "",
      checkPhase ? "",
      meta ? { },
      passthru ? { },
      derivationArgs ? { },
    }:
    final.runCommand name (
      {
        inherit text meta passthru;
        passAsFile = [ "text" ];
      }
      // derivationArgs
    ) ''
      target=$out${escapeShellArg destination}
      mkdir -p "$(dirname "$target")"
      cp "$textPath" "$target"
      ${optionalString executable ''chmod +x "$target"''}
      ${checkPhase}
    '';
  writeText = name: text: final.writeTextFile { inherit name text; };
  writeTextDir =
    path: text:
    final.writeTextFile {
      name = baseNameOf path;
      inherit text;
      destination = "/${path}";
    };
  writeScript =
    name: text:
    final.writeTextFile {
      inherit name text;
      executable = true;
    };
  writeScriptBin =
    name: text:
    final.writeTextFile {
      inherit name text;
      executable = true;
      destination = "/bin/${name}";
      meta.mainProgram = name;
    };
  writeShellScript =
    name: text: final.writeScript name "#!${final.runtimeShell}\n${text}";
  writeShellScriptBin =
    name: text: final.writeScriptBin name "#!${final.runtimeShell}\n${text}\n";
  # Without shellcheck; the syntax is checked.
  writeShellApplication =
    {
      name,
      text,
      runtimeInputs ? [ ],
      runtimeEnv ? { },
      meta ? { },
      passthru ? { },
      checkPhase ? "",
      excludeShellChecks ? [ ],
      bashOptions ? [
        "errexit"
        "nounset"
        "pipefail"
      ],
      inheritPath ? true,
      ...
    }:
    final.writeTextFile {
      inherit name passthru;
      executable = true;
      destination = "/bin/${name}";
      text = ''
        #!${final.runtimeShell}
        ${concatMapStrings (o: "set -o ${o}\n") bashOptions}
        ${lib.concatStrings (
          lib.mapAttrsToList (n: v: "${lib.toShellVar n v}\nexport ${n}\n") runtimeEnv
        )}${
          optionalString (runtimeInputs != [ ] || !inheritPath)
            ''export PATH="${lib.makeBinPath runtimeInputs}${optionalString inheritPath ":$PATH"}"''
        }

        ${text}
      '';
      checkPhase = if checkPhase == "" then ''bash -n "$target"'' else checkPhase;
      meta = {
        mainProgram = name;
      }
      // meta;
    };

  # One tree of links to all files below several packages; the first one wins.
  symlinkJoin =
    args@{
      name ? "${args.pname}-${args.version}",
      paths,
      postBuild ? "",
      meta ? { },
      passthru ? { },
      ...
    }:
    final.buildEnv {
      inherit
        name
        paths
        postBuild
        meta
        passthru
        ;
    };
  buildEnv =
    {
      name,
      paths,
      pathsToLink ? [ "/" ],
      postBuild ? "",
      ignoreCollisions ? false,
      extraPrefix ? "",
      meta ? { },
      passthru ? { },
      ...
    }:
    final.runCommand name { inherit meta passthru; } ''
      mkdir -p "$out${extraPrefix}"
      for path in ${lib.concatMapStringsSep " " (p: "${p}") paths}; do
        cd "$path"
        for sub in ${lib.escapeShellArgs (map (p: ".${p}") pathsToLink)}; do
          if [ -e "$sub" ]; then
            find -L "$sub" ! -type d | while read -r file; do
              target=$out${extraPrefix}/''${file#./}
              if [ ! -e "$target" ]; then
                mkdir -p "''${target%/*}"
                ln -s "$path/''${file#./}" "$target"
              fi
            done
          fi
        done
      done
      cd "$out"
      ${postBuild}
    '';
  # Links named by a list of { name; path; } or by an attribute set.
  linkFarm =
    name: entries:
    let
      list =
        if builtins.isAttrs entries then
          lib.mapAttrsToList (name: path: { inherit name path; }) entries
        else
          entries;
    in
    final.runCommand name { } ''
      mkdir -p "$out"
      cd "$out"
      ${concatMapStrings (e: ''
        mkdir -p "$(dirname ${escapeShellArg e.name})"
        ln -s ${escapeShellArg "${e.path}"} ${escapeShellArg e.name}
      '') list}
    '';
  linkFarmFromDrvs =
    name: drvs:
    final.linkFarm name (
      map (drv: {
        inherit (drv) name;
        path = drv;
      }) drvs
    );
  concatText =
    name: files:
    final.runCommand name { } ''
      cat ${lib.escapeShellArgs (map (f: "${f}") files)} >"$out"
    '';
  emptyFile = final.writeText "empty-file" "";
  emptyDirectory = final.runCommand "empty-directory" { } ''mkdir "$out"'';

  # Settings in common file formats: { type; generate; }.
  formats = {
    json = { }: {
      type = lib.types.anything;
      generate = name: value: final.writeText name (builtins.toJSON value);
    };
    yaml = { }: (final.formats.json { });
    keyValue =
      args:
      let
        atom =
          with lib.types;
          nullOr (oneOf [
            bool
            int
            float
            str
          ]);
      in
      {
        type = lib.types.attrsOf atom;
        generate = name: value: final.writeText name (lib.generators.toKeyValue args value);
      };
    ini = args: {
      type = lib.types.attrsOf (lib.types.attrsOf lib.types.anything);
      generate = name: value: final.writeText name (lib.generators.toINI args value);
    };
  };
}
