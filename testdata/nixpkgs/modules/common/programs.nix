# Programs that can be enabled: their package, and a file that says so where the
# program would read its settings.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  shell = name: file: {
    options = {
      enable = lib.mkEnableOption name;
      package = lib.mkPackageOption pkgs name { };
      shellInit = lib.mkOption {
        type = lib.types.lines;
        default = "";
        description = "What every ${name} runs.";
      };
      interactiveShellInit = lib.mkOption {
        type = lib.types.lines;
        default = "";
        description = "What every interactive ${name} runs.";
      };
      loginShellInit = lib.mkOption {
        type = lib.types.lines;
        default = "";
        description = "What every login ${name} runs.";
      };
      shellAliases = lib.mkOption {
        type = lib.types.attrsOf (lib.types.nullOr lib.types.str);
        default = { };
        description = "Abbreviations of ${name}.";
      };
    };
    config =
      cfg:
      lib.mkIf cfg.enable {
        environment.systemPackages = [ cfg.package ];
        environment.shells = [ cfg.package ];
        environment.etc.${file}.text = ''
          # ${name}, by the offline nixpkgs
          ${lib.concatStrings (
            lib.mapAttrsToList (n: v: "alias ${n} ${lib.escapeShellArg v}\n") (
              lib.filterAttrs (_: v: v != null) (config.environment.shellAliases // cfg.shellAliases)
            )
          )}${cfg.shellInit}${cfg.loginShellInit}${cfg.interactiveShellInit}
        '';
      };
  };
  shells = {
    fish = shell "fish" "fish/config.fish";
    bash = shell "bash" "bashrc";
    zsh = shell "zsh" "zshrc";
  };
  plain = lib.genAttrs [
    "git"
    "vim"
    "tmux"
    "htop"
  ] (name: {
    enable = lib.mkEnableOption name;
    package = lib.mkPackageOption pkgs name { };
    config = lib.mkOption {
      type = lib.types.attrsOf lib.types.anything;
      default = { };
      description = "Settings of ${name}; accepted.";
    };
  });
in
{
  options.programs = lib.mapAttrs (_: s: s.options) shells // plain;
  config = lib.mkMerge (
    lib.mapAttrsToList (n: s: s.config config.programs.${n}) shells
    ++ lib.mapAttrsToList (
      n: _:
      lib.mkIf config.programs.${n}.enable {
        environment.systemPackages = [ config.programs.${n}.package ];
      }
    ) plain
  );
}
