{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;

  files =
    folder: what:
    mkOption {
      default = { };
      example = {
        ".foorc".text = "hello";
      };
      description = "Files below ${what}.";
      type = types.attrsOf (
        types.submodule (
          { config, name, ... }:
          {
            options = {
              enable = mkOption {
                type = types.bool;
                default = true;
                description = "Whether the file is made.";
              };
              target = mkOption {
                type = types.str;
                default = name;
                defaultText = "the attribute's name";
                apply = p: lib.optionalString (folder != "") "${folder}/" + p;
                description = "Its path.";
              };
              text = mkOption {
                type = types.nullOr types.lines;
                default = null;
                example = "hello";
                description = "Its text.";
              };
              source = mkOption {
                type = types.path;
                example = lib.literalExpression "./foorc";
                description = "The file or folder itself.";
              };
              executable = mkOption {
                type = types.nullOr types.bool;
                default = null;
                description = "Whether it can be run.";
              };
              recursive = mkOption {
                type = types.bool;
                default = false;
                description = "Whether a folder's files are linked one by one.";
              };
              force = mkOption {
                type = types.bool;
                default = false;
                description = "Whether a file in the way is replaced; accepted.";
              };
              onChange = mkOption {
                type = types.lines;
                default = "";
                description = "Commands for when the file changed; accepted.";
              };
            };
            config.source = lib.mkIf (config.text != null) (
              lib.mkDefault (
                pkgs.writeTextFile {
                  name = "hm_${lib.strings.sanitizeDerivationName (baseNameOf name)}";
                  inherit (config) text;
                  executable = config.executable == true;
                }
              )
            );
          }
        )
      );
    };
  all = lib.filter (f: f.enable) (
    lib.attrValues config.home.file
    ++ lib.attrValues config.xdg.configFile
    ++ lib.attrValues config.xdg.dataFile
  );
in
{
  options = {
    home.file = files "" "the home folder";
    xdg = {
      enable = lib.mkEnableOption "management of XDG folders";
      configHome = mkOption {
        type = types.str;
        default = "${config.home.homeDirectory}/.config";
        defaultText = "~/.config";
        description = "The folder of settings.";
      };
      configFile = files ".config" "~/.config";
      dataFile = files ".local/share" "~/.local/share";
    };
    home-files = mkOption {
      type = types.package;
      internal = true;
      description = "The tree of all files.";
    };
  };

  config.home-files = pkgs.runCommand "home-manager-files" { } ''
    mkdir "$out"
    ${lib.concatMapStrings (f: ''
      target=$out/${lib.escapeShellArg f.target}
      if [ -e "$target" ] || [ -L "$target" ]; then
        echo "home-manager: two files want to be ~/"${lib.escapeShellArg f.target} >&2
        exit 1
      fi
      mkdir -p "$(dirname "$target")"
      ${
        if f.recursive then
          ''
            (cd ${f.source} && find . -type f) | while read -r file; do
              mkdir -p "$(dirname "$target/$file")"
              ln -s "${f.source}/''${file#./}" "$target/''${file#./}"
            done
          ''
        else
          ''ln -s ${f.source} "$target"''
      }
    '') all}
  '';
}
